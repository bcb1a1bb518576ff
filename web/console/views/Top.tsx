import type { Presence } from "../../shared/frames/operator";
import { useDoorTexts } from "../channels/doorTexts";
import type { Language } from "../i18n/words";
import { hashOf, type Route } from "../routes";
import { administers, supervises } from "../verbs";
import { AlertList } from "./Alerts";
import { Icon } from "./bits";
import { useDesk, useWords } from "./context";
import { Fold } from "./Fold";
import { LanguageChoice } from "./Login";

const PRESENCES: readonly Presence[] = ["online", "away", "offline"];

interface TopProps {
  route: Route;
  onLanguage: (language: Language) => void;
  onPassword: () => void;
  onLogout: () => void;
}

export function Top({ route, onLanguage, onPassword, onLogout }: TopProps) {
  const { t } = useWords();
  const door = useDoorTexts();
  const { me } = useDesk().state;
  const chats = route.screen === "list" || route.screen === "session";
  return (
    <header class="top">
      <span class="brand">{t("app.name")}</span>
      <nav class="sections" aria-label={t("nav.label")}>
        <a href={hashOf({ screen: "list", box: "mine" })} title={t("nav.chats")} aria-current={chats ? "page" : undefined}>
          <Icon name="chat" />
          <span>{t("nav.chats")}</span>
        </a>
        <a href={hashOf({ screen: "leads" })} title={t("nav.leads")} aria-current={route.screen === "leads" ? "page" : undefined}>
          <Icon name="lead" />
          <span>{t("nav.leads")}</span>
        </a>
        {supervises(me) && (
          <a href={hashOf({ screen: "board" })} title={t("nav.board")} aria-current={route.screen === "board" ? "page" : undefined}>
            <Icon name="board" />
            <span>{t("nav.board")}</span>
          </a>
        )}
        {administers(me) && (
          <a href={hashOf({ screen: "sounds" })} title={t("nav.sounds")} aria-current={route.screen === "sounds" ? "page" : undefined}>
            <Icon name="sound" />
            <span>{t("nav.sounds")}</span>
          </a>
        )}
        {administers(me) && (
          <a href={hashOf({ screen: "channels", at: "" })} title={door.t("nav")} aria-current={route.screen === "channels" ? "page" : undefined}>
            <Icon name="channel" />
            <span>{door.t("nav")}</span>
          </a>
        )}
      </nav>
      {supervises(me) && <AlertList />}
      <PresenceChoice />
      <Menu onLanguage={onLanguage} onPassword={onPassword} onLogout={onLogout} />
    </header>
  );
}

function PresenceChoice() {
  const { t } = useWords();
  const { state, presence } = useDesk();
  const now = state.me?.presence ?? "offline";
  return (
    <label class={`presence ${state.link === "live" ? now : "unknown"}`}>
      <span class="dot" aria-hidden="true" />
      <span class="unseen">{t("presence.label")}</span>
      <select
        value={now}
        disabled={state.me === null}
        onChange={(event) => {
          const chosen = PRESENCES.find((one) => one === event.currentTarget.value);
          if (chosen !== undefined) presence.change({ chosen });
        }}
      >
        {PRESENCES.map((one) => (
          <option key={one} value={one} selected={one === now}>
            {t(`presence.${one}`)}
          </option>
        ))}
      </select>
    </label>
  );
}

function Menu({ onLanguage, onPassword, onLogout }: Omit<TopProps, "route">) {
  const { t } = useWords();
  const { state, presence } = useDesk();
  return (
    <Fold
      label={t("nav.menu")}
      head={
        <>
          <bdi class="menu-name">{state.me?.name ?? "…"}</bdi>
          <Icon name="down" />
        </>
      }
    >
      {(fold) => (
        <>
          {state.me !== null && <p class="hint">{t("nav.load", { load: state.me.load ?? 0, budget: state.me.budget ?? 100 })}</p>}
          <LanguageChoice onChoose={onLanguage} />
          <label class="check">
            <input
              type="checkbox"
              defaultChecked={presence.habit().auto}
              onChange={(event) => presence.change({ auto: event.currentTarget.checked })}
            />
            {t("nav.auto_away")}
          </label>
          <button
            type="button"
            class="button quiet"
            onClick={() => {
              fold();
              onPassword();
            }}
          >
            {t("nav.password")}
          </button>
          <button type="button" class="button quiet" onClick={onLogout}>
            {t("nav.logout")}
          </button>
        </>
      )}
    </Fold>
  );
}
