import { expect, test } from "vitest";
import { hostsOf } from "./providers";

test("common providers' hosts are known by the domain, however it is written", () => {
  expect(hostsOf("shop@yandex.ru")?.imap).toBe("imap.yandex.ru");
  expect(hostsOf("shop@BK.ru ")?.smtp).toBe("smtp.mail.ru");
  expect(hostsOf("shop@gmail.com")).toEqual({ imap: "imap.gmail.com", smtp: "smtp.gmail.com", smtpPort: 465, wants: "app_password" });
  expect(hostsOf("shop@hotmail.com")?.wants).toBe("token");
});

test("of one's own domain, and of what is no address yet, nothing is guessed", () => {
  expect(hostsOf("help@shop.example")).toBeNull();
  expect(hostsOf("yandex.ru")).toBeNull();
  expect(hostsOf("shop@")).toBeNull();
});
