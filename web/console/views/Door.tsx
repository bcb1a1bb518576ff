import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Busy, Empty } from "./bits";
import { useDesk, useWords } from "./context";

interface DoorProps<P> {
  load: () => Promise<P>;
  children: (page: P) => ComponentChildren;
}

/** A page that is loaded when somebody wants it: few ever do. */
export function Door<P>({ load: read, children }: DoorProps<P>) {
  const { t } = useWords();
  const { link } = useDesk().state;
  const [loaded, setLoaded] = useState<{ page: P } | null>(null);
  const [failed, setFailed] = useState(false);

  async function load(): Promise<void> {
    setFailed(false);
    try {
      setLoaded({ page: await read() });
    } catch {
      setFailed(true);
    }
  }
  useEffect(() => void load(), []);

  if (loaded !== null) return <>{children(loaded.page)}</>;
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
