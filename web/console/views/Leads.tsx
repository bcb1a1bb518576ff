import { useEffect, useRef, useState } from "preact/hooks";
import { type Lead, leads as readPage, transcript as loadTranscript, type TranscriptLine } from "../api";
import { type LeadBook, leadBook, NO_LEADS } from "../leads";
import { hashOf } from "../routes";
import { cleanName } from "../text";
import { Busy, Empty, Failed, Icon, Name, Said } from "./bits";
import { hasSource, SourceFacts } from "./ContactPanel";
import { useDesk, useNow, useWords } from "./context";

type Step = "loading" | "ready" | "failed";

export function Leads({ onLoggedOut }: { onLoggedOut: () => void }) {
  const { t } = useWords();
  const { leadNews } = useDesk().state;
  const [{ items, cursor, step, problem }, setLeads] = useState(NO_LEADS);
  const book = useRef<LeadBook | null>(null);
  useEffect(() => {
    const made = leadBook(readPage, setLeads, onLoggedOut);
    book.current = made;
    return () => made.close();
  }, []);
  useEffect(() => void book.current?.renew(), [leadNews]);

  return (
    <section class="leads" aria-labelledby="leads-title">
      <h1 id="leads-title" tabIndex={-1}>
        {t("leads.title")}
      </h1>
      {step === "ready" && items.length === 0 && <Empty icon="lead" title={t("leads.empty")} next={t("leads.empty_next")} />}
      {items.length > 0 && (
        <ul class="lead-list">
          {items.map((lead) => (
            <LeadRow key={lead.id} lead={lead} />
          ))}
        </ul>
      )}
      {step === "loading" && <Busy text={t("leads.loading")} />}
      {step === "failed" && (
        <Empty icon="warning" title={t("leads.failed")} next={problem || t("app.unreachable_next")}>
          <button type="button" class="button" onClick={() => void book.current?.renew()}>
            {t("app.retry")}
          </button>
        </Empty>
      )}
      {step === "ready" && cursor !== null && (
        <button type="button" class="button quiet more" onClick={() => void book.current?.more()}>
          {t("list.more")}
        </button>
      )}
    </section>
  );
}

function LeadRow({ lead }: { lead: Lead }) {
  const words = useWords();
  const now = useNow(60_000);
  const [open, setOpen] = useState(false);
  const made = Date.parse(lead.created_at);
  return (
    <li class={open ? "lead open" : "lead"}>
      <button type="button" class="lead-head" aria-expanded={open} onClick={() => setOpen(!open)}>
        <span class="lead-title" dir="auto">
          {cleanName(lead.title)}
        </span>
        <span class={`status ${lead.stage}`}>{words.word("stage", lead.stage)}</span>
        <span class="lead-contact"><Name of={lead.contact.name} /></span>
        <span class="lead-source">{lead.source}</span>
        <time class="when" dateTime={lead.created_at} title={words.dateTime(made)}>
          {words.short(made, now)}
        </time>
        <Icon name="down" />
      </button>
      {open && <LeadDetails lead={lead} />}
    </li>
  );
}

function LeadDetails({ lead }: { lead: Lead }) {
  const { t } = useWords();
  const source = lead.source_details;
  return (
    <div class="lead-details" role="region" aria-label={t("leads.details", { title: cleanName(lead.title) })}>
      <section>
        <h3>{t("contact.source")}</h3>
        {hasSource(source) ? <SourceFacts source={source} /> : <p class="quiet-line">{t("leads.no_source")}</p>}
        {lead.session_id && (
          <p>
            <a href={hashOf({ screen: "session", session: lead.session_id })}>{t("leads.session")}</a>
          </p>
        )}
      </section>
      <section>
        <h3>{t("leads.transcript")}</h3>
        {lead.transcript && lead.session_id ? (
          <Transcript session={lead.session_id} />
        ) : (
          <p class="quiet-line">{t("leads.no_transcript")}</p>
        )}
      </section>
    </div>
  );
}

function Transcript({ session }: { session: string }) {
  const words = useWords();
  const [lines, setLines] = useState<readonly TranscriptLine[]>([]);
  const [step, setStep] = useState<Step>("loading");

  async function load(): Promise<void> {
    setStep("loading");
    try {
      setLines(await loadTranscript(session));
      setStep("ready");
    } catch {
      setStep("failed");
    }
  }
  useEffect(() => void load(), [session]);

  if (step === "loading") return <Busy text={words.t("leads.transcript_loading")} />;
  if (step === "failed") return <Failed text={words.t("leads.transcript_failed")} onRetry={() => void load()} />;
  return (
    <ol class="transcript">
      {lines.map((line, index) => (
        <li key={index} class={line.who === "contact" ? "line theirs" : "line"}>
          <span class="author">
            <bdi>{cleanName(line.name) || words.word("who", line.who)}</bdi>
            <time dateTime={line.at}>{words.dateTime(Date.parse(line.at))}</time>
          </span>
          <Said text={line.text} />
        </li>
      ))}
    </ol>
  );
}
