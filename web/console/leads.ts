// The leads on the page: read page by page, and read again when there is news of a lead, without moving what is shown.

import { detailOf, type Lead, type LeadPage, Problem } from "./api";

export interface Leads {
  items: readonly Lead[];
  /** Where the next page begins; null: there is none. */
  cursor: string | null;
  step: "loading" | "ready" | "failed";
  problem: string;
}

export interface LeadBook {
  /** Read again as many as are shown. Asked for while it reads, it reads once more: the first answer may be older than the news. */
  renew(): Promise<void>;
  /** Read the next page. */
  more(): Promise<void>;
  /** Tell nothing any more. */
  close(): void;
}

export const NO_LEADS: Leads = { items: [], cursor: null, step: "loading", problem: "" };

/** *read* gives a page; *tell* is told whatever is to be shown; *loggedOut* that the server no longer knows us. */
export function leadBook(
  read: (cursor: string | null) => Promise<LeadPage>,
  tell: (leads: Leads) => void,
  loggedOut: () => void,
): LeadBook {
  let leads = NO_LEADS;
  let open = true;
  let reading: Promise<void> | null = null;
  const wanted = { renew: false, more: false };

  function show(change: Partial<Leads>): void {
    leads = { ...leads, ...change };
    if (open) tell(leads);
  }

  async function readAgain(): Promise<void> {
    // What is shown stays while we look.
    if (leads.step === "failed") show({ step: "loading" });
    const items = new Map<string, Lead>();
    let cursor: string | null = null;
    do {
      const page = await read(cursor);
      for (const lead of page.items) items.set(lead.id, lead);
      cursor = page.next_cursor;
    } while (cursor !== null && items.size < leads.items.length);
    show({ items: [...items.values()], cursor, step: "ready" });
  }

  async function readOn(): Promise<void> {
    if (leads.cursor === null) return;
    show({ step: "loading" });
    const page = await read(leads.cursor);
    const known = new Set(leads.items.map((lead) => lead.id));
    const items = [...leads.items, ...page.items.filter((lead) => !known.has(lead.id))];
    show({ items, cursor: page.next_cursor, step: "ready" });
  }

  async function work(): Promise<void> {
    try {
      while (open && (wanted.renew || wanted.more)) {
        const next = wanted.renew ? "renew" : "more";
        wanted[next] = false;
        await (next === "renew" ? readAgain() : readOn());
      }
    } catch (error) {
      wanted.renew = wanted.more = false;
      if (error instanceof Problem && error.status === 401) {
        if (open) loggedOut();
        return;
      }
      show({ step: "failed", problem: detailOf(error) });
    } finally {
      reading = null;
    }
  }

  function ask(what: "renew" | "more"): Promise<void> {
    wanted[what] = true;
    reading ??= work();
    return reading;
  }

  return {
    renew: () => ask("renew"),
    more: () => ask("more"),
    close() {
      open = false;
    },
  };
}
