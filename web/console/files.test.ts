import { expect, test } from "vitest";
import { avatarAddress, fileAddress, previewAddress, shortName } from "./files";

test("files and pictures have their addresses below the API", () => {
  expect([fileAddress("f/1"), previewAddress("f1"), avatarAddress("c1")]).toEqual([
    "/api/v1/files/f%2F1",
    "/api/v1/files/f1/preview",
    "/api/v1/contacts/c1/avatar",
  ]);
});

test("a name that is too long for an address keeps its ending", () => {
  const long = `${"я".repeat(300)}.pdf`;

  expect(shortName("a.pdf")).toBe("a.pdf");
  expect(shortName(long)).toBe(`${"я".repeat(196)}.pdf`);
  expect(shortName("x".repeat(300))).toBe("x".repeat(200));
  expect(shortName("  ")).toBe("file");
});
