import { useState } from "preact/hooks";
import { login as logIn, type Operator, Problem } from "../api";
import { type Language, LANGUAGES } from "../i18n/words";
import { useWords } from "./context";

interface LoginProps {
  /** What the operator should know before they try: why they are here, or what the server said about this address. */
  note: string;
  onLogin: (operator: Operator) => void;
  onLanguage: (language: Language) => void;
}

export function Login({ note, onLogin, onLanguage }: LoginProps) {
  const { t } = useWords();
  const [login, setLogin] = useState("");
  const [password, setPassword] = useState("");
  const [shown, setShown] = useState(false);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState("");

  async function submit(): Promise<void> {
    setBusy(true);
    setProblem("");
    try {
      onLogin(await logIn(login.trim(), password));
    } catch (error) {
      setBusy(false);
      setProblem(reason(error));
    }
  }

  /** What happens every day is said in the reader's language, the rest (an address without TLS…) in the server's own sentence. */
  function reason(error: unknown): string {
    if (!(error instanceof Problem)) return t("login.failed");
    if (error.status === 0) return t("app.unreachable");
    if (error.status === 401) return t("login.wrong");
    if (error.status === 429) return t("login.delayed", { count: Math.max(1, Math.ceil(error.retryAfter)) });
    return error.detail || t("login.failed");
  }

  return (
    <main class="login">
      <form
        class="login-box"
        onSubmit={(event) => {
          event.preventDefault();
          void submit();
        }}
      >
        <p class="brand">{t("app.name")}</p>
        <h1>{t("login.title")}</h1>
        {note !== "" && <p class="login-note">{note}</p>}
        <label class="field">
          <span>{t("login.login")}</span>
          <input
            name="username"
            autocomplete="username"
            autocapitalize="none"
            spellcheck={false}
            required
            autofocus
            value={login}
            onInput={(event) => setLogin(event.currentTarget.value)}
          />
        </label>
        <div class="field">
          <label for="password">{t("login.password")}</label>
          <div class="with-button">
            <input
              {...(shown ? ({ type: "text" } as const) : ({ type: "password" } as const))}
              id="password"
              name="password"
              autocomplete="current-password"
              required
              value={password}
              onInput={(event) => setPassword(event.currentTarget.value)}
            />
            <button type="button" class="button quiet" aria-pressed={shown} onClick={() => setShown(!shown)}>
              {t(shown ? "login.hide" : "login.show")}
            </button>
          </div>
        </div>
        {problem !== "" && (
          <p class="problem" role="alert">
            {problem}
          </p>
        )}
        <button type="submit" class="button primary wide" disabled={busy}>
          {t(busy ? "login.busy" : "login.submit")}
        </button>
        <p class="hint">{t("login.first_time")}</p>
        <LanguageChoice onChoose={onLanguage} />
      </form>
    </main>
  );
}

export function LanguageChoice({ onChoose }: { onChoose: (language: Language) => void }) {
  const { t, language } = useWords();
  return (
    <label class="field inline">
      <span>{t("nav.language")}</span>
      <select
        value={language}
        onChange={(event) => {
          const chosen = LANGUAGES.find(({ code }) => code === event.currentTarget.value);
          if (chosen !== undefined) onChoose(chosen.code);
        }}
      >
        {LANGUAGES.map(({ code, name }) => (
          <option key={code} value={code} lang={code} selected={code === language}>
            {name}
          </option>
        ))}
      </select>
    </label>
  );
}
