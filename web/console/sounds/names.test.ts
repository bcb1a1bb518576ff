import { expect, test } from "vitest";
import { fitName, isFit, nameOfFile, NAME_MAX } from "./names";

test("small letters, digits and dashes are fit, with a letter or a digit at both ends", () => {
  for (const name of ["a", "7", "welcome", "shop-2", "a--b", "a".repeat(NAME_MAX)]) expect(isFit(name), name).toBe(true);
  for (const name of ["", "-", "-a", "a-", "Welcome", "two words", "a_b", "é", "привет", "a/b", "a\n", "a".repeat(NAME_MAX + 1)]) {
    expect(isFit(name), name).toBe(false);
  }
});

test("the name of a file is made fit, and loses its ending", () => {
  expect(nameOfFile("Welcome to our Shop (final).MP3")).toBe("welcome-to-our-shop-final");
  expect(nameOfFile("v1.2_Ünïcode--Ñame.wav")).toBe("v1-2-unicode-name");
  expect(nameOfFile("Приветствие, ёлка и щука.m4a")).toBe("privetstvie-elka-i-schuka");
  expect(nameOfFile("й.wav".normalize("NFD"))).toBe("y");
  expect(nameOfFile("no-ending")).toBe("no-ending");
});

test("what is too long is cut, and does not end in a dash", () => {
  const name = fitName(`${"a".repeat(NAME_MAX - 1)} and more`);

  expect(name).toBe("a".repeat(NAME_MAX - 1));
});

test("whatever is made is fit, or nothing", () => {
  for (const text of ["***", "你好", ".wav", "-", "a", " -- Ж -- ", "x".repeat(500)]) {
    const name = fitName(text);
    expect(name === "" || isFit(name), text).toBe(true);
  }
});
