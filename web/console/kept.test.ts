import { expect, test } from "vitest";
import { keepDraft, keepFiles, keptDraft, keptFiles } from "./kept";
import { memory } from "./testing/samples";

test("a draft is kept with what it answers, and nothing of an empty one", () => {
  const shelf = memory();
  const draft = { text: "", note: false, answers: { seq: 3, text: "Hi", name: "Ann" } };
  keepDraft(shelf, "me", "a", draft);
  expect([keptDraft(shelf, "me", "a"), keptDraft(shelf, "else", "a").text]).toEqual([draft, ""]);

  keepDraft(shelf, "me", "a", { text: "", note: true, answers: null, asksPhone: false });

  expect(shelf.keys()).toEqual([]);
});

test("uploaded files are kept by operator and dialogue until there are none", () => {
  const shelf = memory();
  const files = [{ kind: "photo", state: "ready", id: "f1" }] as const;
  keepFiles(shelf, "me", "a", files);
  expect([keptFiles(shelf, "me", "a"), keptFiles(shelf, "me", "b"), keptFiles(shelf, "else", "a")]).toEqual([files, [], []]);

  keepFiles(shelf, "me", "a", []);

  expect(shelf.keys()).toEqual([]);
});

test("what cannot be read as files is none", () => {
  const shelf = memory();
  shelf.setItem("omniline.files.me.a", "{}");

  expect(keptFiles(shelf, "me", "a")).toEqual([]);
});
