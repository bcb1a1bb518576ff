// Pictures of a message, large, one after the other. Loaded when somebody wants to look.

import { useState } from "preact/hooks";
import { type Attachment, isFilm } from "../extras";
import { fileAddress, previewAddress } from "../files";
import { cleanName, middle } from "../text";
import { Icon } from "./bits";
import { useWords } from "./context";
import { Dialog } from "./Dialog";
import { Film } from "./Extras";
import "../styles/viewer.css";

export function Viewer({ pictures, at, onClose }: { pictures: readonly Attachment[]; at: number; onClose: () => void }) {
  const words = useWords();
  const { t } = words;
  const [now, setNow] = useState(at);
  const [failed, setFailed] = useState("");
  const count = pictures.length;
  const file = pictures[Math.min(now, count - 1)];
  if (file === undefined) return null;
  const id = file.id ?? "";
  const name = cleanName(file.name ?? "") || words.word("what", file.kind);

  function step(by: number): void {
    setNow((before) => (before + by + count) % count);
  }

  return (
    <Dialog title={middle(name)} onClose={onClose} class="viewer">
      <div
        class="viewer-body"
        onKeyDown={(event) => {
          // In a player the arrows are its own.
          if (count < 2 || event.target instanceof HTMLVideoElement) return;
          if (event.key === "ArrowLeft") step(-1);
          else if (event.key === "ArrowRight") step(1);
        }}
      >
        <div class="viewer-picture">
          {isFilm(file) ? (
            <Film key={id} file={file} large />
          ) : failed === id ? (
            <p class="hint">{t("message.no_picture")}</p>
          ) : (
            <img key={id} src={previewAddress(id)} alt={name} onError={() => setFailed(id)} />
          )}
        </div>
        <div class="actions viewer-foot">
          {count > 1 && (
            <>
              <button type="button" class="button quiet icon-only" aria-label={t("viewer.before")} onClick={() => step(-1)}>
                <Icon name="back" />
              </button>
              <span class="hint" role="status">
                {t("viewer.of", { count: now + 1, all: count })}
              </span>
              <button type="button" class="button quiet icon-only flipped" aria-label={t("viewer.after")} onClick={() => step(1)}>
                <Icon name="back" />
              </button>
            </>
          )}
          <span class="viewer-size">{(file.size ?? 0) > 0 && words.size(file.size ?? 0)}</span>
          <a class="button" href={fileAddress(id)} download>
            <Icon name="download" />
            {t("viewer.download")}
          </a>
          <button type="button" class="button primary" autoFocus onClick={onClose}>
            {t("common.close")}
          </button>
        </div>
      </div>
    </Dialog>
  );
}
