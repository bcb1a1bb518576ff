import { describe, expect, test } from "vitest";
import { type Attachment, degrees, gridOf, isPlayed, laidOut, lookedAt, mapOf, quoteOf, roomOf, verbsOf, whatOf } from "./extras";
import { ME, message, own } from "./testing/samples";

const file = (kind: Attachment["kind"], more: Partial<Attachment> = {}): Attachment => ({ kind, state: "ready", id: kind, ...more });
const photo = (no: number): Attachment => file("photo", { id: `p${no}`, preview: true });
const VIDEO = file("video", { media_type: "video/mp4", preview: true });
const CAN = { kind: "telegram", text_max: 4_096, quotes: true, edits: true, deletes: true };

describe("how files are laid out", () => {
  test("pictures stand in the grid, also while they are awaited; what is not here is only named", () => {
    const awaited: Attachment = { kind: "photo" };
    const gone: Attachment = { kind: "photo", state: "gone" };

    expect(laidOut([photo(1), awaited, gone])).toMatchObject({ pictures: [photo(1), awaited], rows: [gone] });
  });

  test("a photo of which no picture can be shown is a file like any other", () => {
    expect(laidOut([file("photo")])).toMatchObject({ pictures: [], rows: [file("photo")] });
  });

  test("a film plays where it stands when it is alone, and stands among pictures when it is not", () => {
    expect(laidOut([VIDEO])).toMatchObject({ pictures: [], film: VIDEO });
    expect(laidOut([VIDEO, photo(1)])).toMatchObject({ pictures: [VIDEO, photo(1)], film: null });
  });

  test("what no element plays is a download", () => {
    const odd = file("voice", { media_type: "audio/amr" });

    expect(isPlayed(odd)).toBe(false);
    expect(laidOut([odd, file("voice", { media_type: "audio/ogg" })])).toMatchObject({ sounds: [{ media_type: "audio/ogg" }], rows: [odd] });
  });

  test("a sticker without a picture is named", () => {
    expect(laidOut([file("sticker", { preview: true }), file("sticker")])).toMatchObject({ stickers: [{ preview: true }], rows: [file("sticker")] });
  });

  test("only what is here can be looked at large", () => {
    expect(lookedAt([photo(1), { kind: "photo" }, file("document")])).toEqual([photo(1)]);
  });
});

describe("the grid of pictures", () => {
  test.each([
    [1, [1]],
    [2, [2]],
    [3, [3]],
    [4, [2, 2]],
    [5, [2, 3]],
    [6, [3, 3]],
    [7, [2, 2, 3]],
    [8, [2, 3, 3]],
    [9, [3, 3, 3]],
  ])("%d pictures leave no gap", (count, lengths) => {
    const pictures = Array.from({ length: count }, (_, no) => photo(no));
    const { rows, more } = gridOf(pictures);

    expect(rows.map((row) => row.length)).toEqual(lengths);
    expect(rows.flat()).toEqual(pictures);
    expect(more).toBe(0);
  });

  test("more than nine are told as a number", () => {
    const { rows, more } = gridOf(Array.from({ length: 50 }, (_, no) => photo(no)));

    expect([rows.flat().length, more]).toEqual([9, 41]);
  });

  test("a picture has its room before it comes: its own shape, within bounds", () => {
    expect(roomOf(file("photo", { width: 3_000, height: 1_500 }))).toEqual({ width: 320, height: 160 });
    expect(roomOf(file("photo", { width: 100, height: 200 }))).toEqual({ width: 100, height: 200 });
    expect(roomOf(file("photo", { width: 9_000, height: 90 }))).toEqual({ width: 320, height: 96 });
    expect(roomOf(file("photo"))).toEqual({ width: 240, height: 180 });
  });
});

test("a place leads to a map at its own coordinates, whatever sign they have", () => {
  const place = { latitude: -33.856784, longitude: 151.2152967 };

  expect(degrees(place)).toBe("-33.85678, 151.21530");
  expect(mapOf(place)).toBe("https://www.openstreetmap.org/?mlat=-33.856784&mlon=151.215297#map=16/-33.856784/151.215297");
});

test("what has no words is called by its first file, else by what it is", () => {
  expect(whatOf({ files: [VIDEO, photo(1)] })).toBe("video");
  expect(whatOf({ place: { latitude: 0, longitude: 0 } })).toBe("place");
  expect(whatOf({ shared: {} })).toBe("contact");
  expect(whatOf({ what: "poll" })).toBe("poll");
  expect(whatOf({})).toBe("");
});

describe("what may be done with a message", () => {
  test("the customer's is answered, one's own is changed as well", () => {
    expect(verbsOf(message(1), ME, CAN, true)).toEqual(["answer"]);
    expect(verbsOf(own(2, "read"), ME, CAN, true)).toEqual(["answer", "reword", "take_back"]);
    expect(verbsOf(own(2, "sent", { operator: "op-else" }), ME, CAN, true)).toEqual(["answer"]);
    expect(verbsOf(own(2, "sent", { operator: "op-else" }), { ...ME, role: "supervisor" }, CAN, true)).toEqual(["answer", "reword", "take_back"]);
  });

  test("nothing that the channel cannot", () => {
    expect(verbsOf(own(2, "sent"), ME, { kind: "widget", text_max: 8_000 }, true)).toEqual([]);
    expect(verbsOf(own(2, "sent"), ME, { ...CAN, deletes: false }, true)).toEqual(["answer", "reword"]);
    expect(verbsOf(own(2, "sent"), ME, null, true)).toEqual([]);
  });

  test.each(["queued", "sending", "failed", "unconfirmed", "cancelled"])("nothing with one that is %s: its customer does not have it", (fate) => {
    expect(verbsOf(own(2, fate), ME, CAN, true)).toEqual([]);
  });

  test("nothing with notes, with what is deleted, or where one may not answer", () => {
    expect(verbsOf(own(2, "sent", { kind: "note" }), ME, CAN, true)).toEqual([]);
    expect(verbsOf(own(2, "sent", { extra: { deleted_ms: 1 } }), ME, CAN, true)).toEqual([]);
    expect(verbsOf(own(2, "sent"), ME, CAN, false)).toEqual([]);
  });

  test("what was said in the provider's own program is answered, and not changed from here", () => {
    expect(verbsOf(own(2, "sent", { extra: { elsewhere: true } }), ME, CAN, true)).toEqual(["answer"]);
  });

  test("without words there is nothing to word anew", () => {
    expect(verbsOf(own(2, "sent", { text: "", extra: { files: [photo(1)] } }), ME, CAN, true)).toEqual(["answer", "take_back"]);
  });

  test("a quote has the beginning of a long message, and no half of a character", () => {
    const long = message(7, { text: "😀".repeat(400), name: "Ann" });

    expect(quoteOf(long)).toEqual({ seq: 7, text: "😀".repeat(300), name: "Ann" });
  });
});
