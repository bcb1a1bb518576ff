import { useEffect, useRef, useState } from "preact/hooks";
import type { ComponentChildren } from "preact";
import type { Contact } from "../../shared/frames/operator";
import { setBanned, settleAlike, type Source as Came } from "../api";
import { avatarAddress } from "../files";
import { inOrder, isAddress, pointText } from "../points";
import { hashOf } from "../routes";
import type { Thread } from "../store";
import { cleanName } from "../text";
import { supervises } from "../verbs";
import { Avatar, Busy, Icon, Name } from "./bits";
import { CallButtons } from "./calling";
import { Unreachable } from "./Composer";
import { useDesk, useNow, useWords } from "./context";

type Other = NonNullable<Contact["alike"]>[number];
/** *start*: the word in the link by which they came. */
type Source = Came & { start?: string };

/** Beside the thread where there is room, over it where there is none. */
export function ContactPanel({ thread, shown, onHide }: { thread: Thread; shown: boolean; onHide: () => void }) {
  const { t } = useWords();
  const hide = useRef<HTMLButtonElement>(null);
  useEffect(() => {
    if (shown) hide.current?.focus();
  }, [shown]);
  return (
    <aside
      id="contact"
      class={shown ? "contact shown" : "contact"}
      aria-label={t("contact.label")}
      onKeyDown={(event) => {
        if (event.key !== "Escape" || !shown) return;
        event.stopPropagation();
        onHide();
      }}
    >
      <button ref={hide} type="button" class="button quiet contact-hide" aria-label={t("thread.contact_close")} onClick={onHide}>
        <Icon name="cross" />
      </button>
      {thread.contact === null ? <Busy text={t("app.loading")} /> : <Person contact={thread.contact} session={thread.session} />}
    </aside>
  );
}

function Person({ contact, session }: { contact: Contact; session: string }) {
  const words = useWords();
  const { t } = words;
  const now = useNow(60_000);
  const points = inOrder(contact.points ?? []);
  const earlier = contact.earlier ?? [];
  const leads = contact.leads ?? [];
  return (
    <>
      <header class="person">
        <Avatar id={contact.id} name={contact.name} picture={contact.avatar === true ? avatarAddress(contact.id) : ""} />
        <h2>
          <Name of={contact.name} />
        </h2>
        {(contact.since ?? 0) > 0 && <p>{t("contact.since", { date: words.date(contact.since ?? 0) })}</p>}
        {contact.language && <p>{t("contact.language", { name: words.languageName(contact.language) })}</p>}
        {contact.banned === true && <Banned contact={contact.id} />}
        {contact.responsible_name && <p>{t("contact.responsible", { name: contact.responsible_name })}</p>}
        {contact.unreachable && <Unreachable why={contact.unreachable} />}
      </header>
      <Part title={t("contact.points")}>
        {!points.some(isAddress) && <p class="quiet-line">{t("contact.no_points")}</p>}
        <dl class="facts">
          {points.map((point, index) => (
            <div key={index}>
              <dt>{words.word("point", point.kind)}</dt>
              <dd>
                <bdi>{pointText(point, words)}</bdi>
                {point.evidence && isAddress(point) && <span class="evidence">{words.word("evidence", point.evidence)}</span>}
                {point.number && contact.banned !== true && <CallButtons number={point.number} session={session} />}
              </dd>
            </div>
          ))}
        </dl>
      </Part>
      {(contact.alike ?? []).length > 0 && (
        <Part title={t("contact.alike")}>
          <ul class="small-list">
            {(contact.alike ?? []).map((other) => (
              <Alike key={other.id} contact={contact.id} other={other} />
            ))}
          </ul>
        </Part>
      )}
      {hasSource(contact) && (
        <Part title={t("contact.source")}>
          <SourceFacts source={contact} />
        </Part>
      )}
      <Part title={t("contact.earlier")}>
        {earlier.length === 0 && <p class="quiet-line">{t("contact.no_earlier")}</p>}
        <ul class="small-list">
          {earlier.map((card) => (
            <li key={card.session}>
              <a href={hashOf({ screen: "session", session: card.session })}>
                {words.short(card.opened, now)} · {words.word("channel", card.channel)} · {words.word("status", card.status)}
              </a>
              {card.last_text ? <p dir="auto">{card.last_text}</p> : card.last_what && <p>{words.word("what", card.last_what)}</p>}
            </li>
          ))}
        </ul>
      </Part>
      <Part title={t("contact.leads")}>
        {leads.length === 0 && <p class="quiet-line">{t("contact.no_leads")}</p>}
        <ul class="small-list">
          {leads.map((lead, index) => (
            <li key={lead.id ?? index}>
              <a href={hashOf({ screen: "leads" })} dir="auto">
                {cleanName(lead.title ?? "") || t("leads.lead")}
              </a>
              {lead.stage && <p>{words.word("stage", lead.stage)}</p>}
            </li>
          ))}
        </ul>
      </Part>
    </>
  );
}

/** Somebody who may be the same person: what both have, and how it came. Who may change contacts says what they are. */
function Alike({ contact, other }: { contact: string; other: Other }) {
  const words = useWords();
  const { t } = words;
  const { me } = useDesk().state;
  const [step, setStep] = useState<"asking" | "sure" | "busy" | "failed">("asking");

  async function settle(same: boolean): Promise<void> {
    setStep("busy");
    try {
      // The gateway tells the thread: then they are one, or are not alike any more.
      await settleAlike(contact, other.id, same);
    } catch {
      setStep("failed");
    }
  }

  return (
    <li>
      <p>
        <Name of={other.name} />
      </p>
      <p>
        <bdi>{other.value}</bdi> <span class="evidence">{words.word("evidence", other.evidence ?? "")}</span>
      </p>
      {supervises(me) && (
        <p class="alike-choice">
          {step === "sure" ? (
            <>
              {t("contact.alike_sure")}{" "}
              <button type="button" class="link" onClick={() => void settle(true)}>
                {t("contact.alike_join")}
              </button>{" "}
              <button type="button" class="link" onClick={() => setStep("asking")}>
                {t("common.cancel")}
              </button>
            </>
          ) : (
            <>
              <button type="button" class="link" disabled={step === "busy"} onClick={() => setStep("sure")}>
                {t("contact.alike_same")}
              </button>{" "}
              <button type="button" class="link" disabled={step === "busy"} onClick={() => void settle(false)}>
                {t("contact.alike_two")}
              </button>
            </>
          )}
          <span role="alert">{step === "failed" && ` ${t("refused.unavailable")}`}</span>
        </p>
      )}
    </li>
  );
}

/** What a banned contact writes opens no session; who may lift the ban does so here. */
function Banned({ contact }: { contact: string }) {
  const { t } = useWords();
  const { me } = useDesk().state;
  const [step, setStep] = useState<"asking" | "busy" | "failed">("asking");

  async function lift(): Promise<void> {
    setStep("busy");
    try {
      // The gateway tells the thread: then there is no ban to be shown.
      await setBanned(contact, false);
    } catch {
      setStep("failed");
    }
  }

  return (
    <p class="problem">
      {t("contact.banned")}{" "}
      {supervises(me) && (
        <button type="button" class="link" disabled={step === "busy"} onClick={() => void lift()}>
          {t("contact.lift_ban")}
        </button>
      )}
      <span role="alert">{step === "failed" && ` ${t("refused.unavailable")}`}</span>
    </p>
  );
}

function Part({ title, children }: { title: string; children: ComponentChildren }) {
  return (
    <section class="part">
      <h3>{title}</h3>
      {children}
    </section>
  );
}

export function hasSource(source: Source): boolean {
  return Boolean(source.page) || Boolean(source.referrer) || Boolean(source.start) || Object.keys(source.utm ?? {}).length > 0;
}

/** Addresses of strangers are shown, not linked: nobody asked the operator to go there. */
export function SourceFacts({ source }: { source: Source }) {
  const { t } = useWords();
  const facts: [string, string][] = [];
  if (source.page) facts.push([t("contact.page"), source.title ? `${source.title} (${source.page})` : source.page]);
  if (source.referrer) facts.push([t("contact.referrer"), source.referrer]);
  if (source.start) facts.push([t("contact.start"), source.start]);
  for (const [name, value] of Object.entries(source.utm ?? {})) facts.push([name.startsWith("utm_") ? name : `utm_${name}`, value]);
  return (
    <dl class="facts">
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>
            <bdi>{cleanName(name)}</bdi>
          </dt>
          <dd>
            <bdi>{cleanName(value)}</bdi>
          </dd>
        </div>
      ))}
    </dl>
  );
}
