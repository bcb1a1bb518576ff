// What is being written in the open dialogue: words, what they answer, what is attached, which message is being worded anew. Shared by
// the thread, where one says "answer this" and drops files, and the composer under it.

import { type ComponentChildren, createContext } from "preact";
import { useContext, useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Card, ChannelCan, Shown } from "../../shared/frames/operator";
import { type Stance, stanceOf } from "../composer";
import type { Connection } from "../connection";
import { quoteOf } from "../extras";
import { upload } from "../files";
import { newId } from "../ids";
import { type Draft, keepDraft, keepFiles, keptDraft, keptFiles } from "../kept";
import type { Thread } from "../store";
import { type Attached, FILES_MAX, Uploads } from "../uploads";
import { Icon } from "./bits";
import { useDesk, useWords } from "./context";

export interface Composing {
  draft: Draft;
  /** Keep *change* of the draft. */
  write: (change: Partial<Draft>) => void;
  /** What the channel can; null: it takes nothing of ours, or we do not know it. */
  can: ChannelCan | null;
  /** Null while it is not known what dialogue it is. */
  stance: Stance | null;
  attached: readonly Attached[];
  attach: (files: readonly File[]) => void;
  uploads: Uploads<File>;
  answer: (message: Shown) => void;
  /** Grows with every message that is to be answered: then the words are asked for. */
  asked: number;
  /** The seq of the message that is being worded anew; 0: none. */
  rewording: number;
  reword: (seq: number) => void;
}

const Context = createContext<Composing | null>(null);

export function useComposing(): Composing {
  const value = useContext(Context);
  if (value === null) throw new Error("Composing has no provider above this component");
  return value;
}

/** One a login: uploads outlive the dialogue that is looked at, and nobody else's login sees them. */
const uploadsOf = new WeakMap<Connection, Uploads<File>>();

function useUploads(session: string): { uploads: Uploads<File>; attached: readonly Attached[] } {
  const { connection, shelf, operator } = useDesk();
  const uploads = useMemo(() => {
    const known = uploadsOf.get(connection);
    if (known !== undefined) return known;
    const made = new Uploads<File>({
      upload,
      newId,
      kept: (of) => keptFiles(shelf, operator, of),
      keep: (of, files) => keepFiles(shelf, operator, of, files),
    });
    uploadsOf.set(connection, made);
    return made;
  }, [connection]);
  const [attached, setAttached] = useState(() => uploads.of(session));
  useEffect(() => {
    const look = (): void => setAttached(uploads.of(session));
    look();
    return uploads.subscribe(look);
  }, [uploads, session]);
  return { uploads, attached };
}

/** Mounted anew for every session (by its key), so a draft never wanders into another dialogue. */
export function Composed({ card, thread, children }: { card: Card | null; thread: Thread; children: ComponentChildren }) {
  const words = useWords();
  const { t } = words;
  const { state, connection, shelf, operator } = useDesk();
  const [draft, setDraft] = useState<Draft>(() => keptDraft(shelf, operator, thread.session));
  const { uploads, attached } = useUploads(thread.session);
  const [asked, setAsked] = useState(0);
  const [rewording, setRewording] = useState(0);

  const can = card === null ? null : (state.can[card.channel] ?? null);
  const stance = card === null ? null : stanceOf(card, state.me, can, draft, thread.gone);
  const filesMax = stance?.filesMax ?? 0;

  function write(change: Partial<Draft>): void {
    setDraft((before) => {
      const next = { ...before, ...change };
      keepDraft(shelf, operator, thread.session, next);
      return next;
    });
  }

  function attach(files: readonly File[]): void {
    if (files.length === 0) return;
    if (filesMax === 0) {
      const why = stance?.noFiles ?? "";
      const channel = words.word("channel", card?.channel ?? "");
      connection.tell(t(why === "" ? "attach.not_now" : `attach.${why}`, { channel }));
      return;
    }
    const over = uploads.add(thread.session, files, filesMax);
    if (over > 0) connection.tell(t("attach.too_many", { count: over, max: FILES_MAX }));
  }

  const composing: Composing = {
    draft,
    write,
    can,
    stance,
    attached,
    attach,
    uploads,
    answer(message) {
      // A note answers nobody.
      write({ answers: quoteOf(message), note: false });
      setAsked((before) => before + 1);
    },
    asked,
    rewording,
    reword: setRewording,
  };
  return (
    <Context.Provider value={composing}>
      <DropZone onFiles={attach} hint={filesMax > 0 ? t("attach.drop") : t("attach.drop_not")}>
        {children}
      </DropZone>
    </Context.Provider>
  );
}

function carriesFiles(event: DragEvent): boolean {
  return event.dataTransfer?.types.includes("Files") === true;
}

/** Files dropped here or pasted are attached. Dropped beside it they are not opened instead of the console either. */
function DropZone({ onFiles, hint, children }: { onFiles: (files: File[]) => void; hint: string; children: ComponentChildren }) {
  const [over, setOver] = useState(false);
  /** How many of the elements that the pointer has entered it has not left: each child tells of itself. */
  const depth = useRef(0);
  useEffect(() => {
    const hold = (event: DragEvent): void => {
      if (carriesFiles(event)) event.preventDefault();
    };
    addEventListener("dragover", hold);
    addEventListener("drop", hold);
    return () => {
      removeEventListener("dragover", hold);
      removeEventListener("drop", hold);
    };
  }, []);

  function enter(event: DragEvent, by: number): void {
    if (!carriesFiles(event)) return;
    depth.current = Math.max(0, depth.current + by);
    setOver(depth.current > 0);
  }

  return (
    <div
      class="dialogue"
      onDragEnter={(event) => enter(event, 1)}
      onDragLeave={(event) => enter(event, -1)}
      onDrop={(event) => {
        depth.current = 0;
        setOver(false);
        if (!carriesFiles(event)) return;
        event.preventDefault();
        onFiles([...(event.dataTransfer?.files ?? [])]);
      }}
      onPaste={(event) => {
        const files = [...(event.clipboardData?.files ?? [])];
        const types = event.clipboardData?.types ?? [];
        // What is copied from a text processor has its picture beside its words: the words are meant. A file has its name at most.
        if (files.length === 0 || (types.includes("text/plain") && (types.includes("text/html") || types.includes("text/rtf")))) return;
        event.preventDefault();
        onFiles(files);
      }}
    >
      {children}
      {over && (
        <div class="drop-hint" aria-hidden="true">
          <Icon name="clip" />
          {hint}
        </div>
      )}
    </div>
  );
}
