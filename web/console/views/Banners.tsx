import { useEffect } from "preact/hooks";
import { hasWords, type Notice } from "../store";
import { administers } from "../verbs";
import { AlertToast } from "./Alerts";
import { Icon } from "./bits";
import { ChannelBanner } from "./ChannelBanner";
import { useDesk, useWords } from "./context";

/** Long enough to be read twice. */
const NOTICE_MS = 12_000;

export function Banners({ onPassword }: { onPassword: () => void }) {
  const { t } = useWords();
  const { state, presence } = useDesk();
  const unsent = state.deeds.filter((deed) => deed.state === "waiting" && hasWords(deed)).length;
  const me = state.me;
  return (
    <div class="banners">
      <div role="status">
        {state.link === "lost" && (
          <p class="banner warn">
            <span class="spinner" aria-hidden="true" />
            {t("banner.lost")} {unsent > 0 && t("banner.unsent", { count: unsent })}
          </p>
        )}
      </div>
      {administers(me) && <ChannelBanner />}
      {me?.password_generated === true && (
        <p class="banner">
          {t("banner.password")}
          <button type="button" class="link" onClick={onPassword}>
            {t("banner.password_action")}
          </button>
        </p>
      )}
      {me !== null && me.presence !== "online" && state.link === "live" && (
        <p class="banner">
          {t("banner.not_online", { presence: t(`presence.${me.presence}`).toLowerCase() })}
          <button type="button" class="link" onClick={() => presence.change({ chosen: "online" })}>
            {t("banner.go_online")}
          </button>
        </p>
      )}
    </div>
  );
}

export function Notices() {
  const { state } = useDesk();
  return (
    <div class="notices" role="status">
      {state.notices.map((notice) => (
        <NoticeLine key={notice.key} notice={notice} />
      ))}
      <AlertToast />
    </div>
  );
}

function NoticeLine({ notice }: { notice: Notice }) {
  const words = useWords();
  const { connection } = useDesk();
  useEffect(() => {
    const timer = setTimeout(() => connection.dismiss(notice.key), NOTICE_MS);
    return () => clearTimeout(timer);
  }, [notice.key]);
  return (
    <p class="notice">
      <Icon name="warning" />
      <span>{words.word("refused", notice.code, notice.text || notice.code)}</span>
      <button type="button" class="button quiet small" aria-label={words.t("common.dismiss")} onClick={() => connection.dismiss(notice.key)}>
        <Icon name="cross" />
      </button>
    </p>
  );
}
