import { useState } from "preact/hooks";
import { useDesk, useWords } from "./context";
import { Dialog } from "./Dialog";

export function SpamDialog({ session, onClose }: { session: string; onClose: () => void }) {
  const { t } = useWords();
  const { connection } = useDesk();
  const [ban, setBan] = useState(false);
  return (
    <Dialog title={t("spam.title")} onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          connection.deed(session, "spam", { ban });
          onClose();
        }}
      >
        <p>{t("spam.text")}</p>
        <label class="check">
          <input type="checkbox" checked={ban} onChange={(event) => setBan(event.currentTarget.checked)} />
          <span>
            {t("spam.ban")}
            <span class="hint block">{t("spam.ban_hint")}</span>
          </span>
        </label>
        <div class="actions">
          <button type="button" class="button" onClick={onClose}>
            {t("common.cancel")}
          </button>
          <button type="submit" class="button danger">
            {t(ban ? "spam.submit_ban" : "spam.submit")}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
