import { useRef } from "preact/hooks";
import { previewAddress } from "../files";
import { middle } from "../text";
import { areComing, areReady, type Attached, bytesMax } from "../uploads";
import { Icon, KIND_ICONS } from "./bits";
import { useComposing } from "./composing";
import { useWords } from "./context";

/** The button that asks for files; they can be dropped and pasted as well. */
export function AttachButton() {
  const words = useWords();
  const { stance, attach } = useComposing();
  const input = useRef<HTMLInputElement>(null);
  const filesMax = stance?.filesMax ?? 0;
  if (filesMax === 0) return null;
  const label = words.t("attach.button", { size: words.size(filesMax) });
  return (
    <>
      <button type="button" class="button quiet icon-only" aria-label={label} title={label} onClick={() => input.current?.click()}>
        <Icon name="clip" />
      </button>
      <input
        ref={input}
        type="file"
        multiple
        hidden
        onChange={(event) => {
          attach([...(event.currentTarget.files ?? [])]);
          // Chosen again after it was taken away, it is chosen anew.
          event.currentTarget.value = "";
        }}
      />
    </>
  );
}

/** What goes with the answer: each file with how far it is, and a way to be rid of it. */
export function AttachedFiles({ session }: { session: string }) {
  const { t } = useWords();
  const { attached, stance } = useComposing();
  if (attached.length === 0) return null;
  const failed = !areReady(attached) && !areComing(attached);
  return (
    <>
      <ul class="attached" aria-label={t("attach.label")}>
        {attached.map((one) => (
          <One key={one.key} session={session} one={one} />
        ))}
      </ul>
      {stance?.kind === "note" ? <p class="hint">{t("attach.kept")}</p> : failed && <p class="hint">{t("attach.see_to")}</p>}
    </>
  );
}

function One({ session, one }: { session: string; one: Attached }) {
  const words = useWords();
  const { t } = words;
  const { uploads, can } = useComposing();
  const name = middle(one.name, 44);
  const wrong = one.state === "failed" || one.state === "unfit";
  const percent = Math.round(one.sent * 100);
  return (
    <li class={wrong ? "attached-one wrong" : "attached-one"}>
      {one.file?.preview === true && one.file.id ? (
        <img class="attached-picture" src={previewAddress(one.file.id)} alt="" />
      ) : (
        <Icon name={wrong ? "warning" : KIND_ICONS[one.file?.kind ?? "document"]} />
      )}
      <span class="attached-text">
        <bdi class="file-name" title={one.name}>
          {name}
        </bdi>
        {wrong ? (
          <span class="attached-problem" role="alert">
            {one.complaint?.code === "too_large" && one.complaint.detail === ""
              ? t("attach.too_large", { size: words.size(one.size), max: words.size(bytesMax(can?.files_max ?? 0)) })
              : words.word("attach_refused", one.complaint?.code ?? "", (one.complaint?.detail ?? "") || t("attach.failed"))}
          </span>
        ) : (
          <span class="file-facts">
            {words.size(one.size)}
            {one.state === "sending" && ` · ${percent < 100 ? `${percent}%` : t("attach.checked")}`}
            {one.state === "waiting" && ` · ${t("attach.waits")}`}
          </span>
        )}
        {one.state === "sending" && <progress max={1} value={one.sent} aria-label={t("attach.progress", { name })} />}
        {one.state === "failed" && (
          <button type="button" class="link" aria-label={t("attach.retry_of", { name })} onClick={() => uploads.retry(session, one.key)}>
            {t("app.retry")}
          </button>
        )}
      </span>
      <button
        type="button"
        class="button quiet icon-only"
        aria-label={t(one.state === "sending" || one.state === "waiting" ? "attach.cancel" : "attach.remove", { name })}
        onClick={() => uploads.remove(session, one.key)}
      >
        <Icon name="cross" />
      </button>
    </li>
  );
}
