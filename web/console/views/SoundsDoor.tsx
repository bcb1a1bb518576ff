import { useEffect, useState } from "preact/hooks";
import type { SoundsPage } from "../sounds/SoundsPage";
import { Busy, Empty } from "./bits";
import { useDesk, useWords } from "./context";

/** The page of sounds, which is loaded when somebody wants it: few ever do. */
export function SoundsDoor({ onLoggedOut }: { onLoggedOut: () => void }) {
  const { t } = useWords();
  const { link } = useDesk().state;
  const [loaded, setLoaded] = useState<{ Page: typeof SoundsPage } | null>(null);
  const [failed, setFailed] = useState(false);

  async function load(): Promise<void> {
    setFailed(false);
    try {
      setLoaded({ Page: (await import("../sounds/SoundsPage")).SoundsPage });
    } catch {
      setFailed(true);
    }
  }
  useEffect(() => void load(), []);

  if (loaded !== null) return <loaded.Page onLoggedOut={onLoggedOut} />;
  if (!failed) return <Busy text={t("app.loading")} />;
  // With a server there it is the file that is gone, and only a new page knows the new one's name; without one a reload would lose this page.
  const live = link === "live";
  return (
    <Empty icon="warning" title={t("app.page_failed")} next={t(live ? "app.page_failed_next" : "app.unreachable_next")}>
      <button type="button" class="button" onClick={() => (live ? location.reload() : void load())}>
        {t(live ? "app.reload" : "app.retry")}
      </button>
    </Empty>
  );
}
