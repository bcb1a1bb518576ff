import { useEffect } from "preact/hooks";
import { hashOf } from "../routes";
import { type KeptAlert, unseenAlerts } from "../store";
import { cleanName } from "../text";
import { Icon } from "./bits";
import { useDesk, useNow, useWords } from "./context";
import { Fold } from "./Fold";

/** Long enough to be read twice; it stays in the list. */
const TOAST_MS = 12_000;

/** The list of alerts behind a bell, with how many nobody has looked at. */
export function AlertList() {
  const { t } = useWords();
  const { state, connection } = useDesk();
  const count = unseenAlerts(state);
  return (
    <Fold
      label={count > 0 ? t("alerts.unseen", { count }) : t("alerts.title")}
      onUnfold={() => connection.alertsSeen()}
      head={
        <>
          <Icon name="bell" />
          {count > 0 && (
            <span class="badge" aria-hidden="true">
              {count > 9 ? "9+" : count}
            </span>
          )}
        </>
      }
    >
      {(fold) =>
        state.alerts.length === 0 ? (
          <p class="hint">{t("alerts.empty")}</p>
        ) : (
          <ul class="alert-list" aria-label={t("alerts.title")}>
            {state.alerts.map((alert) => (
              <li key={alert.key}>
                <AlertLink alert={alert} onGo={fold} />
              </li>
            ))}
          </ul>
        )
      }
    </Fold>
  );
}

/** The newest alert, on the screen by itself: more would hide what one is doing, and the bell counts them. */
export function AlertToast() {
  const { state } = useDesk();
  const shown = state.alerts.find((alert) => alert.shown);
  // Told again it is a new one, with its whole time.
  return shown === undefined ? null : <Toast key={`${shown.key} ${shown.at}`} alert={shown} />;
}

function Toast({ alert }: { alert: KeptAlert }) {
  const { t } = useWords();
  const { connection } = useDesk();
  const dismiss = (): void => connection.dismiss(alert.key);
  useEffect(() => {
    const timer = setTimeout(dismiss, TOAST_MS);
    return () => clearTimeout(timer);
  }, []);
  return (
    <div class="notice">
      <Icon name="bell" />
      <AlertLink alert={alert} onGo={dismiss} />
      <button type="button" class="button quiet small" aria-label={t("common.dismiss")} onClick={dismiss}>
        <Icon name="cross" />
      </button>
    </div>
  );
}

function AlertLink({ alert, onGo }: { alert: KeptAlert; onGo: () => void }) {
  const words = useWords();
  const now = useNow(60_000);
  return (
    <a class="alert" href={hashOf({ screen: "session", session: alert.session })} onClick={onGo}>
      <strong>{words.word("alert", alert.what)}</strong>
      <span>
        <bdi>{cleanName(alert.contact_name) || words.t("thread.nobody")}</bdi> · <bdi>{alert.line_name}</bdi> ·{" "}
        <time dateTime={new Date(alert.at).toISOString()}>{words.short(alert.at, now)}</time>
      </span>
    </a>
  );
}
