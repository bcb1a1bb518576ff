import { useEffect, useMemo, useState } from "preact/hooks";
import { keepSocket } from "../../shared/socket";
import * as api from "../api";
import { connect, type Connection } from "../connection";
import { chooseLanguage, type Language, wordsIn } from "../i18n/words";
import { newId } from "../ids";
import { read, shelf as openShelf, type Shelf, write } from "../kept";
import { type PresenceWatch, watchPresence } from "../presence";
import { type State, Store } from "../store";
import { Busy, Empty } from "./bits";
import { DeskContext, WordsContext } from "./context";
import { Login } from "./Login";
import { Shell } from "./Shell";

type Door =
  | { at: "asking" }
  | { at: "unreachable" }
  | { at: "login"; note: string }
  /** Logged in, and no longer: the note is one of ours, so it follows the language. */
  | { at: "ended" }
  | { at: "forbidden" }
  | { at: "desk"; operator: api.Operator };

export function App() {
  const shelf = useMemo(openShelf, []);
  const [door, setDoor] = useState<Door>({ at: "asking" });
  const [language, setLanguage] = useState<Language>(() =>
    chooseLanguage(read(shelf, "language") as string | null, ...navigator.languages),
  );
  const words = useMemo(() => wordsIn(language), [language]);
  useEffect(() => {
    document.documentElement.lang = language;
  }, [language]);

  function choose(chosen: Language): void {
    write(shelf, "language", chosen);
    setLanguage(chosen);
  }

  function enter(operator: api.Operator): void {
    // What was chosen on this machine goes before what the operator's record says.
    if (read(shelf, "language") === null && operator.language) setLanguage(chooseLanguage(operator.language));
    setDoor({ at: "desk", operator });
  }

  async function ask(): Promise<void> {
    setDoor({ at: "asking" });
    try {
      enter(await api.me());
    } catch (error) {
      const problem = error instanceof api.Problem ? error : new api.Problem(0, "");
      if (problem.status === 401) setDoor({ at: "login", note: "" });
      // Not "who are you" but "not from there": the server's sentence about TLS.
      else if (problem.status === 403) setDoor({ at: "login", note: problem.detail });
      else setDoor({ at: "unreachable" });
    }
  }
  useEffect(() => void ask(), []);

  async function leave(): Promise<void> {
    // Logged out here in any case; a cookie that the server did not hear of dies by its own age.
    await api.logout().catch(() => undefined);
    setDoor({ at: "login", note: "" });
  }

  return (
    <WordsContext.Provider value={words}>
      {door.at === "asking" && <Busy text={words.t("app.loading")} />}
      {door.at === "unreachable" && (
        <Empty icon="warning" title={words.t("app.unreachable")} next={words.t("app.unreachable_next")}>
          <button type="button" class="button primary" onClick={() => void ask()}>
            {words.t("app.retry")}
          </button>
        </Empty>
      )}
      {door.at === "forbidden" && <Empty icon="warning" title={words.t("app.name")} next={words.t("login.forbidden")} />}
      {(door.at === "login" || door.at === "ended") && (
        <Login
          note={door.at === "ended" ? words.t("login.ended") : door.note}
          onLanguage={choose}
          onLogin={(operator) => {
            // Whoever logs in has come to work.
            const key = `presence.${operator.id}`;
            write(shelf, key, { ...(read(shelf, key) as object | null), chosen: "online" });
            enter(operator);
          }}
        />
      )}
      {door.at === "desk" && (
        <DeskOf
          key={door.operator.id}
          operator={door.operator}
          shelf={shelf}
          onLanguage={choose}
          onLogout={() => void leave()}
          onLoggedOut={() => setDoor({ at: "ended" })}
          onForbidden={() => setDoor({ at: "forbidden" })}
        />
      )}
    </WordsContext.Provider>
  );
}

interface DeskOfProps {
  operator: api.Operator;
  shelf: Shelf;
  onLanguage: (language: Language) => void;
  onLogout: () => void;
  onLoggedOut: () => void;
  onForbidden: () => void;
}

/** Holds the store and the socket of one login. */
function DeskOf({ operator, shelf, onLanguage, onLogout, onLoggedOut, onForbidden }: DeskOfProps) {
  const [running, setRunning] = useState<{ connection: Connection; presence: PresenceWatch } | null>(null);
  const [state, setState] = useState<State | null>(null);

  useEffect(() => {
    const store = new Store();
    const unsubscribe = store.subscribe(() => {
      setState(store.state);
      if (store.state.link === "logged_out") onLoggedOut();
      if (store.state.link === "forbidden") onForbidden();
    });
    const connection = connect(store, {
      operator: operator.id,
      shelf,
      dial: (events) => keepSocket(`${location.origin.replace(/^http/u, "ws")}/ws/operator`, events),
      now: Date.now,
      newId,
      suspectLogin: () => {
        api.me().catch((error: unknown) => {
          if (error instanceof api.Problem && error.status === 401) onLoggedOut();
        });
      },
    });
    const presence = watchPresence(shelf, operator.id, (say) => connection.presence(say));
    setState(store.state);
    setRunning({ connection, presence });
    return () => {
      unsubscribe();
      presence.stop();
      connection.close();
    };
  }, [operator.id]);

  if (running === null || state === null) return null;
  return (
    <DeskContext.Provider value={{ state, ...running, operator: operator.id, shelf }}>
      <Shell login={operator.login} onLanguage={onLanguage} onLogout={onLogout} onLoggedOut={onLoggedOut} />
    </DeskContext.Provider>
  );
}
