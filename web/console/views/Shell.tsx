import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Box, Card } from "../../shared/frames/operator";
import { useDoorTexts } from "../channels/doorTexts";
import type { Language } from "../i18n/words";
import { go, parseRoute, type Route } from "../routes";
import { asksMe, isCall, isOffered, isOutgoing, isUnreached, mine, nameOf, ringsMe, serverTime, waitForMe } from "../store";
import { cleanName } from "../text";
import { administers, may, supervises } from "../verbs";
import { Banners, Notices } from "./Banners";
import { Empty } from "./bits";
import { BoardPage } from "./BoardPage";
import { CallDialog } from "./calling";
import { ChannelsDoor } from "./ChannelsDoor";
import { CloseDialog } from "./CloseDialog";
import { useDesk, useWords } from "./context";
import { Leads } from "./Leads";
import { PasswordDialog } from "./PasswordDialog";
import { SessionList } from "./SessionList";
import { SnoozeDialog } from "./SnoozeDialog";
import { SoundsDoor } from "./SoundsDoor";
import { SpamDialog } from "./SpamDialog";
import { TargetDialog } from "./TargetDialog";
import { type Question, ThreadView } from "./ThreadView";
import { Top } from "./Top";

interface ShellProps {
  login: string;
  onLanguage: (language: Language) => void;
  onLogout: () => void;
  /** The server no longer knows us: it is not our doing. */
  onLoggedOut: () => void;
}

export function Shell({ login, onLanguage, onLogout, onLoggedOut }: ShellProps) {
  const { t } = useWords();
  const door = useDoorTexts();
  const { state, connection } = useDesk();
  const route = useRoute();
  const box = useBox(route);
  const [asking, setAsking] = useState<{ question: Question; card: Card } | null>(null);
  const [calling, setCalling] = useState(false);
  const [why, setWhy] = useState(false);
  const [password, setPassword] = useState(false);
  const session = route.screen === "session" ? route.session : null;
  const withList = route.screen === "list" || route.screen === "session";

  useEffect(() => {
    if (session === null) connection.leave();
    else connection.open(session);
  }, [session, connection]);
  useEffect(() => setWhy(false), [session]);
  useEffect(() => {
    if (state.box !== box) connection.list(box);
  }, [box, connection]);
  useTitle(waitForMe(state));
  useFocusOnReturn(route);
  useRinging(route);
  useCalled();

  function take(target: string): void {
    connection.deed(target, "take");
    go({ screen: "session", session: target });
  }

  function decline(target: string): void {
    connection.deed(target, "decline");
    go({ screen: "list", box });
  }

  function ask(question: Question, card: Card): void {
    setAsking({ question, card });
  }

  /** Back from "why me?", the focus stands where it came from. */
  const before = useRef<Element | null>(null);
  function showWhy(shown: boolean): void {
    if (shown) before.current = document.activeElement;
    else if (before.current instanceof HTMLElement) before.current.focus();
    setWhy(shown);
  }

  // At once: a key pressed right after a change is meant for what is on the screen.
  useLayoutEffect(() => {
    /** The row that has the focus, else the open dialogue, else the first offer. */
    function target() {
      const focused = document.activeElement?.closest<HTMLElement>("[data-session]")?.dataset.session;
      const row = focused === undefined ? undefined : state.cards[focused];
      const first = mine(state)[0];
      return row ?? (state.thread?.gone === false ? state.thread.card : null) ?? (first !== undefined && isOffered(first) ? first : null);
    }

    function onKeyDown(event: KeyboardEvent): void {
      if (document.querySelector("dialog[open]") !== null) return;
      if (event.key === "Escape" && session !== null && !event.isComposing) go({ screen: "list", box });
      if (!event.altKey || event.ctrlKey || event.metaKey || state.link !== "live") return;
      if (event.code === "KeyN" && state.callsFrom.length > 0) {
        setCalling(true);
        event.preventDefault();
      }
      const card = target();
      if (card === null) return;
      // By the key's place: with another alphabet, or Option on a Mac, its letter is another one.
      const opened = session === card.session;
      if (event.code === "KeyT" && ringsMe(card)) connection.tell(t(isOutgoing(card) ? "thread.rings_out" : "thread.rings"));
      else if (event.code === "KeyT" && may("take", card, state.me)) take(card.session);
      else if (event.code === "KeyD" && may("decline", card, state.me)) decline(card.session);
      else if (event.code === "KeyC" && may("close", card, state.me)) ask("close", card);
      else if (event.code === "KeyR" && may("transfer", card, state.me)) ask("transfer", card);
      else if (event.code === "KeyH" && may("hold", card, state.me)) connection.deed(card.session, "hold");
      else if (event.code === "KeyH" && may("resume", card, state.me)) connection.deed(card.session, "resume");
      else if (event.code === "KeyS" && may("snooze", card, state.me)) ask("snooze", card);
      else if (event.code === "KeyP") connection.pin(card.session, !state.pins.has(card.session));
      else if (event.code === "KeyW" && opened) showWhy(!why);
      else if (event.code === "KeyA" && opened) document.getElementById("actions")?.click();
      else return;
      event.preventDefault();
    }

    addEventListener("keydown", onKeyDown);
    return () => removeEventListener("keydown", onKeyDown);
  });

  return (
    <div class="shell" data-screen={route.screen}>
      <a
        class="skip"
        href="#main"
        onClick={(event) => {
          // The address behind the # is our route; the jump is made by hand.
          event.preventDefault();
          document.getElementById("main")?.focus();
        }}
      >
        {t("app.skip")}
      </a>
      <Top route={route} onLanguage={onLanguage} onPassword={() => setPassword(true)} onLogout={onLogout} />
      <Banners onPassword={() => setPassword(true)} />
      <div class="desk">
        {withList && <SessionList box={box} open={session} onCall={() => setCalling(true)} />}
        <main id="main" class="main" tabIndex={-1}>
          {route.screen === "leads" ? (
            <Leads onLoggedOut={onLoggedOut} />
          ) : route.screen === "board" ? (
            supervises(state.me) ? (
              <BoardPage onLoggedOut={onLoggedOut} />
            ) : (
              state.me !== null && <Empty icon="board" title={t("board.title")} next={t("board.forbidden")} />
            )
          ) : route.screen === "sounds" ? (
            administers(state.me) ? (
              <SoundsDoor onLoggedOut={onLoggedOut} />
            ) : (
              state.me !== null && <Empty icon="sound" title={t("nav.sounds")} next={t("sounds.forbidden")} />
            )
          ) : route.screen === "channels" ? (
            administers(state.me) ? (
              <ChannelsDoor at={route.at} onLoggedOut={onLoggedOut} />
            ) : (
              state.me !== null && <Empty icon="channel" title={door.t("nav")} next={door.t("forbidden")} />
            )
          ) : state.thread === null ? (
            <Empty icon="chat" title={t("thread.none")} next={t("thread.none_next")} />
          ) : (
            <ThreadView
              thread={state.thread}
              back={box}
              why={why}
              onWhy={showWhy}
              onTake={take}
              onDecline={decline}
              onAsk={ask}
            />
          )}
        </main>
      </div>
      <Notices />
      <OfferAnnouncement />
      {asking !== null && <Asking {...asking} onClose={() => setAsking(null)} />}
      {calling && <CallDialog onClose={() => setCalling(false)} />}
      {password && <PasswordDialog login={login} onClose={() => setPassword(false)} onChanged={() => connection.passwordChanged()} />}
    </div>
  );
}

/** What must be known before it is done: to whom, until when, with what outcome. */
function Asking({ question, card, onClose }: { question: Question; card: Card; onClose: () => void }) {
  const { t } = useWords();
  const { connection } = useDesk();
  switch (question) {
    case "close":
      return <CloseDialog call={isUnreached(card) ? "out" : isCall(card)} onClose={onClose} onOutcome={(outcome) => connection.deed(card.session, "close", { outcome })} />;
    case "snooze":
      return <SnoozeDialog session={card.session} onClose={onClose} />;
    case "spam":
      return <SpamDialog session={card.session} onClose={onClose} />;
    case "transfer":
    case "assign":
    case "invite":
    case "consult":
      return (
        <TargetDialog
          passing={question}
          card={card}
          title={t(question === "transfer" && isCall(card) ? "target.call_title" : `target.${question}_title`)}
          onClose={onClose}
          onChoose={(chosen) => connection.deed(card.session, question, chosen)}
        />
      );
  }
}

function useRoute(): Route {
  const [route, setRoute] = useState(() => parseRoute(location.hash));
  useEffect(() => {
    const onHash = (): void => setRoute(parseRoute(location.hash));
    addEventListener("hashchange", onHash);
    return () => removeEventListener("hashchange", onHash);
  }, []);
  return route;
}

/** The list beside an open dialogue is the one it was opened from. */
function useBox(route: Route): Box {
  const last = useRef<Box>("mine");
  if (route.screen === "list") last.current = route.box;
  return last.current;
}

function useTitle(count: number): void {
  const { t } = useWords();
  useEffect(() => {
    document.title = count > 0 ? t("app.title_waiting", { count }) : t("app.name");
  }, [count, t]);
}

/** Who calls is seen before the phone is lifted: a call that rings here opens by itself, once, unless something else is open. */
function useRinging(route: Route): void {
  const { state } = useDesk();
  const shown = useRef("");
  const rings = mine(state).find((card) => ringsMe(card) || asksMe(card, state.me));
  const which = rings === undefined ? "" : `${rings.session} ${rings.offered_until ?? 0}`;
  useEffect(() => {
    if (rings === undefined || which === shown.current) return;
    shown.current = which;
    if (route.screen === "list" && document.querySelector("dialog[open]") === null) go({ screen: "session", session: rings.session });
  }, [which]);
}

/** The call that I have asked for opens by itself once it is there, whatever else is open. */
function useCalled(): void {
  const { state, connection } = useDesk();
  const found = state.called === "" ? undefined : Object.values(state.cards).find((card) => card.conversation === state.called);
  useEffect(() => {
    if (found === undefined) return;
    connection.called("");
    go({ screen: "session", session: found.session });
  }, [found?.session]);
}

/** Back from a dialogue, the focus stands on its row again. */
function useFocusOnReturn(route: Route): void {
  const left = useRef<string | null>(null);
  useEffect(() => {
    if (route.screen === "session") left.current = route.session;
    if (route.screen !== "list" || left.current === null) return;
    const row = [...document.querySelectorAll<HTMLElement>("[data-session]")].find((one) => one.dataset.session === left.current);
    const fallback = document.querySelector<HTMLElement>(".rows a") ?? document.querySelector<HTMLElement>(".tab[aria-current]");
    (row ?? fallback)?.focus();
    left.current = null;
  }, [route]);
}

/** Says every new offer once, to whoever does not see the list. */
function OfferAnnouncement() {
  const { t } = useWords();
  const { state } = useDesk();
  const told = useRef(new Set<string>());
  const [text, setText] = useState("");
  const offers = mine(state).filter((card) => isOffered(card) || asksMe(card, state.me));
  useEffect(() => {
    const fresh = offers.find((card) => !told.current.has(`${card.session} ${card.offered_until ?? 0}`));
    told.current = new Set(offers.map((card) => `${card.session} ${card.offered_until ?? 0}`));
    if (fresh === undefined) return;
    const name = cleanName(fresh.contact_name) || t("thread.nobody");
    if (asksMe(fresh, state.me)) {
      setText(t("announce.consult", { name, colleague: cleanName(nameOf(state, fresh.operator ?? "")) || t("thread.nobody") }));
      return;
    }
    const count = Math.max(0, Math.round(((fresh.offered_until ?? 0) - serverTime(state, Date.now())) / 1000));
    setText(ringsMe(fresh) ? t(isOutgoing(fresh) ? "announce.call_out" : "announce.call", { name }) : t("announce.offer", { name, count }));
  });
  return (
    <div class="unseen" aria-live="assertive">
      {text}
    </div>
  );
}
