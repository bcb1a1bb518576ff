import { useEffect } from "preact/hooks";
import { useDoorTexts } from "../channels/doorTexts";
import { onNews } from "../channels/news";
import { channels } from "../channels/rest";
import { refused } from "../channels/standing";
import { hashOf } from "../routes";
import { cleanName } from "../text";
import { useReading } from "./reading";

const EVERY_MS = 60_000;

/** For administrators, while a provider lets us in no more: nobody else would notice that customers are not heard. */
export function ChannelBanner() {
  const { t } = useDoorTexts();
  // That the login has ended is told by the socket.
  const [{ value }, renew] = useReading(channels, EVERY_MS, ignore);
  useEffect(() => onNews(renew), []);

  const needy = refused(value ?? []);
  const [first] = needy;
  return (
    <div role="status">
      {first !== undefined && (
        <p class="banner bad">
          <span>{needy.length === 1 ? t("refused_one", { name: cleanName(first.name) }) : t("refused_many", { count: needy.length })}</span>
          <a class="link" href={hashOf({ screen: "channels", at: needy.length === 1 ? first.id : "" })}>
            {t("what_to_do")}
          </a>
        </p>
      )}
    </div>
  );
}

function ignore(): void {
  // Nothing to do.
}
