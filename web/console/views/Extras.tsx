// What stands with a message beside its words.

import { useState } from "preact/hooks";
import type { Shown } from "../../shared/frames/operator";
import { counted } from "../calls";
import {
  type Attachment,
  degrees,
  type Extra,
  gridOf,
  isAwaited,
  isFilm,
  isReady,
  laidOut,
  lookedAt,
  mapOf,
  type Quote,
  roomOf,
  whatOf,
} from "../extras";
import { fileAddress, previewAddress } from "../files";
import type { Thread } from "../store";
import { cleanName, middle, phoneText } from "../text";
import { Icon, KIND_ICONS, Name } from "./bits";
import { useDesk, useWords } from "./context";
import type { Viewer } from "./Viewer";

/** Above the words: whose they are, and what they answer. *onGo* shows the message that is answered, where it is in the thread. */
export function Before({ extra, thread, onGo }: { extra: Extra; thread: Thread; onGo?: (seq: number) => void }) {
  const { t } = useWords();
  const { quote } = extra;
  const there = quote !== null && quote !== undefined && thread.messages.some((one) => one.seq === quote.seq);
  return (
    <>
      {extra.forwarded_from && (
        <p class="forwarded">
          <Icon name="forward" /> <bdi>{t("message.forwarded", { name: cleanName(extra.forwarded_from) })}</bdi>
        </p>
      )}
      {quote !== null && quote !== undefined && there && onGo !== undefined && (
        <button type="button" class="quote" title={t("message.go_to_quoted")} onClick={() => onGo(quote.seq ?? 0)}>
          <QuotedText quote={quote} thread={thread} />
        </button>
      )}
      {quote !== null && quote !== undefined && !(there && onGo !== undefined) && (
        <div class="quote">
          <QuotedText quote={quote} thread={thread} />
        </div>
      )}
    </>
  );
}

/** A message in two lines, as it stands above an answer to it. */
export function QuotedText({ quote, thread }: { quote: Quote; thread: Thread }) {
  const words = useWords();
  const { state } = useDesk();
  const quoted = thread.messages.find((one) => one.seq === quote.seq);
  const own = quoted?.who === "operator" && quoted.operator === state.me?.id;
  const name = own ? words.t("thread.you") : (quote.name ?? "") || (quoted === undefined ? "" : nameOf(quoted, thread));
  const what = quoted?.extra ? whatOf(quoted.extra) : "";
  return (
    <span class="quoted">
      {name !== "" && (
        <span class="quoted-name">
          <Name of={name} />
        </span>
      )}
      <span class="quoted-text" dir="auto">
        {(quote.text ?? "") || (what === "" ? words.t("message.quoted") : words.word("what", what))}
      </span>
    </span>
  );
}

function nameOf(message: Shown, thread: Thread): string {
  return (message.extra?.author ?? "") || (message.name ?? "") || (message.who === "contact" ? (thread.contact?.name ?? "") : "");
}

/** The files of one message, each as what it is. */
export function Files({ files, leftOut = 0 }: { files: readonly Attachment[]; leftOut?: number }) {
  const { t } = useWords();
  const { connection } = useDesk();
  const [door, setDoor] = useState<{ Viewer: typeof Viewer; at: number } | null>(null);
  const laid = laidOut(files);
  const pictures = lookedAt(files);
  const { rows, more } = gridOf(laid.pictures);
  const last = rows.at(-1)?.at(-1);

  async function look(file: Attachment): Promise<void> {
    try {
      const { Viewer } = await import("./Viewer");
      setDoor({ Viewer, at: Math.max(0, pictures.indexOf(file)) });
    } catch {
      connection.tell(`${t("app.page_failed")} ${t("app.page_failed_next")}`);
    }
  }

  return (
    <>
      {rows.length > 0 && (
        <div class={laid.pictures.length === 1 ? "album of-one" : "album"}>
          {rows.map((row, at) => (
            <div key={at} class="album-row">
              {row.map((file, place) => (
                <Tile
                  key={place}
                  file={file}
                  only={laid.pictures.length === 1}
                  more={file === last ? more : 0}
                  onLook={() => void look(file)}
                />
              ))}
            </div>
          ))}
        </div>
      )}
      {laid.film !== null && <Film file={laid.film} />}
      {laid.stickers.map((file) => (
        <img
          key={file.id}
          class="sticker"
          src={previewAddress(file.id ?? "")}
          alt={`${t("what.sticker")} ${cleanName(file.name ?? "")}`.trim()}
          width={128}
          height={128}
        />
      ))}
      {laid.sounds.map((file) => (
        <Sound key={file.id} file={file} />
      ))}
      {laid.rows.length > 0 && (
        <ul class="file-rows">
          {laid.rows.map((file, at) => (
            <li key={at}>
              <Row file={file} />
            </li>
          ))}
        </ul>
      )}
      {leftOut > 0 && <p class="hint">{t("message.left_out", { count: leftOut })}</p>}
      {door !== null && <door.Viewer pictures={pictures} at={door.at} onClose={() => setDoor(null)} />}
    </>
  );
}

function labelOf(file: Attachment, words: ReturnType<typeof useWords>): string {
  return [words.word("what", file.kind), cleanName(file.name ?? "")].filter((part) => part !== "").join(": ");
}

/** One picture of a grid; its room is there before it has come. */
function Tile({ file, only, more, onLook }: { file: Attachment; only: boolean; more: number; onLook: () => void }) {
  const words = useWords();
  const { t } = words;
  const [failed, setFailed] = useState(false);
  const { width, height } = roomOf(file);
  const room = only ? { width: `${width}px`, aspectRatio: `${width} / ${height}` } : {};
  if (!isReady(file)) {
    return (
      <span class="tile awaited" style={room}>
        <span class="tile-word">
          <span class="spinner" aria-hidden="true" />
          {t(`awaited.${file.kind === "photo" ? "photo" : "video"}`)}
        </span>
      </span>
    );
  }
  const label = more > 0 ? t("message.more_pictures", { count: more }) : t("message.look", { name: labelOf(file, words) });
  return (
    <button type="button" class="tile" style={room} aria-label={label} title={cleanName(file.name ?? "")} onClick={onLook}>
      {file.preview === true && !failed ? (
        <img src={previewAddress(file.id ?? "")} alt="" loading="lazy" width={width} height={height} onError={() => setFailed(true)} />
      ) : (
        <span class="tile-word">
          <Icon name={KIND_ICONS[file.kind]} />
          {failed && t("message.no_picture")}
        </span>
      )}
      {more > 0 ? (
        <span class="tile-more">+{words.number(more)}</span>
      ) : (
        isFilm(file) && (
          <span class="tile-play">
            <Icon name="play" />
            {(file.seconds ?? 0) > 0 && counted((file.seconds ?? 0) * 1000)}
          </span>
        )
      )}
    </button>
  );
}

/** The browser's own player; what it cannot play can still be downloaded. */
export function Film({ file, large = false }: { file: Attachment; large?: boolean }) {
  const words = useWords();
  const [failed, setFailed] = useState(false);
  const { width, height } = roomOf(file);
  const id = file.id ?? "";
  return (
    <figure class="film" style={large ? {} : { width: `${Math.max(width, 200)}px` }}>
      {!failed && (
        <video
          controls
          playsInline
          preload={file.preview === true ? "none" : "metadata"}
          loop={file.kind === "animation"}
          muted={file.kind === "animation"}
          poster={file.preview === true ? previewAddress(id) : undefined}
          src={fileAddress(id)}
          aria-label={labelOf(file, words)}
          style={large ? {} : { aspectRatio: `${width} / ${height}` }}
          onError={() => setFailed(true)}
        />
      )}
      <figcaption>
        {failed ? <span class="file-problem">{words.t("message.not_played")}</span> : <Facts file={file} />}
        <Download file={file} />
      </figcaption>
    </figure>
  );
}

function Sound({ file }: { file: Attachment }) {
  const words = useWords();
  const [failed, setFailed] = useState(false);
  const voice = file.kind === "voice";
  return (
    <div class={voice ? "sound voice" : "sound"}>
      {!voice && (
        <bdi class="file-name" title={file.name}>
          {middle(file.name ?? "") || words.t("what.audio")}
        </bdi>
      )}
      <span class="sound-line">
        {voice && <Icon name="microphone" />}
        {failed ? (
          <span class="file-problem">{words.t("message.not_played")}</span>
        ) : (
          // Nothing is asked for before somebody wants to hear it.
          <audio
            controls
            preload="none"
            src={fileAddress(file.id ?? "")}
            aria-label={labelOf(file, words)}
            onError={() => setFailed(true)}
          />
        )}
        {(file.seconds ?? 0) > 0 && <span class="file-facts">{counted((file.seconds ?? 0) * 1000)}</span>}
        <Download file={file} />
      </span>
    </div>
  );
}

/** A file that is only named, or one that is not here. */
function Row({ file }: { file: Attachment }) {
  const words = useWords();
  const { t } = words;
  const called = middle(file.name ?? "");
  // The name of a sticker is the sign that it stands for.
  const name = file.kind === "sticker" ? `${t("what.sticker")} ${called}`.trim() : called || words.word("what", file.kind);
  const why = file.state === "too_large" ? t("file.too_large") : file.state === "gone" ? t("file.gone") : "";
  return (
    <span class={isReady(file) ? "file-row" : "file-row absent"}>
      {isAwaited(file) ? <span class="spinner" aria-hidden="true" /> : <Icon name={KIND_ICONS[file.kind]} />}
      <span class="file-text">
        <bdi class="file-name" title={file.name}>
          {name}
        </bdi>
        <Facts file={file} />
        {isAwaited(file) && <span class="file-facts">{t("awaited.file")}</span>}
        {why !== "" && (
          <span class="file-problem">
            {why}
            {file.problem && (
              <>
                {" "}
                <bdi>{cleanName(file.problem)}</bdi>
              </>
            )}
          </span>
        )}
      </span>
      <Download file={file} />
    </span>
  );
}

/** How long and how large. */
function Facts({ file }: { file: Attachment }) {
  const words = useWords();
  const facts = [
    (file.seconds ?? 0) > 0 ? counted((file.seconds ?? 0) * 1000) : "",
    (file.size ?? 0) > 0 ? words.size(file.size ?? 0) : "",
  ].filter((fact) => fact !== "");
  return facts.length === 0 ? null : <span class="file-facts">{facts.join(" · ")}</span>;
}

export function Download({ file }: { file: Attachment }) {
  const words = useWords();
  if (!isReady(file)) return null;
  const label = words.t("file.download", { name: cleanName(file.name ?? "") || words.word("what", file.kind) });
  return (
    <a class="button quiet icon-only" href={fileAddress(file.id ?? "")} download aria-label={label} title={label}>
      <Icon name="download" />
    </a>
  );
}

/** Below the words: a place, a person's card, what it is instead of words, what the customer thinks of it. */
export function After({ extra, channel, text }: { extra: Extra; channel: string; text: string }) {
  const words = useWords();
  const { t } = words;
  const { place, shared, what = "", reactions = [] } = extra;
  return (
    <>
      {place && (
        <span class="file-row">
          <Icon name="place" />
          <span class="file-text">
            <bdi class="file-name">{cleanName(place.title ?? "") || t("what.place")}</bdi>
            {place.address && <bdi class="file-facts">{cleanName(place.address)}</bdi>}
            <a href={mapOf(place)} target="_blank" rel="noopener noreferrer">
              {t("message.map", { place: degrees(place) })}
            </a>
          </span>
        </span>
      )}
      {shared && (
        <span class="file-row">
          <Icon name="card" />
          <span class="file-text">
            <bdi class="file-name">{cleanName(shared.name ?? "") || t("what.contact")}</bdi>
            {shared.phone && <bdi>{phoneText(shared.phone)}</bdi>}
            {shared.own === true && <span class="vouched">{t("evidence.vouched")}</span>}
          </span>
        </span>
      )}
      {what !== "" && (
        <span class="what">
          <Icon name={KIND_ICONS[what] ?? "question"} /> {words.word("what", what, cleanName(what))}
          {text === "" && <> · {t("message.only_there", { channel: words.word("channel", channel) })}</>}
        </span>
      )}
      {extra.asks_phone === true && (
        <span class="what">
          <Icon name="phone" /> {t("composer.asks_phone")}
        </span>
      )}
      {reactions.length > 0 && (
        <ul class="reactions" aria-label={t("message.reactions")}>
          {reactions.map((sign, at) => (
            <li key={at}>
              <bdi>{cleanName(sign)}</bdi>
            </li>
          ))}
        </ul>
      )}
    </>
  );
}
