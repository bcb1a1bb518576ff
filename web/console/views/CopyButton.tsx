import { useEffect, useState } from "preact/hooks";
import { Icon } from "./bits";
import { useDesk } from "./context";

const COPIED_MS = 3_000;

interface CopyProps {
  text: string;
  label: string;
  /** Said when it is copied, */
  done: string;
  /** and when the browser did not let us. */
  failed: string;
}

export function CopyButton({ text, label, done, failed }: CopyProps) {
  const { connection } = useDesk();
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return undefined;
    const timer = setTimeout(() => setCopied(false), COPIED_MS);
    return () => clearTimeout(timer);
  }, [copied]);

  async function press(): Promise<void> {
    if (await copy(text)) setCopied(true);
    else connection.tell(failed);
  }

  return (
    <>
      <button
        type="button"
        class={copied ? "button quiet small copy done" : "button quiet small copy"}
        aria-label={label}
        title={label}
        onClick={() => void press()}
      >
        <Icon name={copied ? "check" : "copy"} />
      </button>
      <span role="status" class="unseen">
        {copied && done}
      </span>
    </>
  );
}

/** Over plain http browsers have no clipboard to write to; there the old way still goes. */
async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const before = document.activeElement;
    const field = document.createElement("textarea");
    field.value = text;
    field.className = "unseen";
    document.body.append(field);
    field.select();
    // eslint-disable-next-line @typescript-eslint/no-deprecated -- there is no other way without https
    const done = document.execCommand("copy");
    field.remove();
    if (before instanceof HTMLElement) before.focus();
    return done;
  }
}
