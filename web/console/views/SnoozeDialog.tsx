import { presets, SNOOZE_DAYS_MAX } from "../snooze";
import { useDesk, useNow, useWords } from "./context";
import { Dialog } from "./Dialog";
import { TimeChoice } from "./TimeChoice";

export function SnoozeDialog({ session, onClose }: { session: string; onClose: () => void }) {
  const { t } = useWords();
  const { connection } = useDesk();
  const now = useNow(30_000);
  return (
    <Dialog title={t("snooze.title")} onClose={onClose}>
      <p>{t("snooze.text")}</p>
      <TimeChoice
        choices={presets(now).map(({ preset, at }) => ({ text: t(`snooze.${preset}`), at }))}
        days={SNOOZE_DAYS_MAX}
        refused={t("refused.past")}
        submit={t("snooze.submit")}
        onChoose={(until) => {
          connection.deed(session, "snooze", { until });
          onClose();
        }}
        onClose={onClose}
      />
    </Dialog>
  );
}
