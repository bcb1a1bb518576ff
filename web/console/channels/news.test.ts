import { expect, test } from "vitest";
import { notify, onNews } from "./news";

test("news of a channel reach everybody who hears, until they want no more", () => {
  const told: string[] = [];
  const end = onNews((channel) => told.push(`list ${channel}`));
  const endOther = onNews((channel) => told.push(`banner ${channel}`));

  notify("a");
  end();
  notify("b");
  endOther();
  notify("c");

  expect(told).toEqual(["list a", "banner a", "banner b"]);
});
