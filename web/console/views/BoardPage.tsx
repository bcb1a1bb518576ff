import type { ComponentChildren } from "preact";
import { board as readBoard, type Board, type BoardLine, type BoardOperator } from "../api";
import { Busy, Empty, Icon } from "./bits";
import { useNow, useWords } from "./context";
import { useReading } from "./reading";

const EVERY_MS = 5_000;

/** The house at a glance: lines and people, read again while somebody looks. */
export function BoardPage({ onLoggedOut }: { onLoggedOut: () => void }) {
  const words = useWords();
  const { t } = words;
  const [{ value, readAt, failed, problem }, renew] = useReading(readBoard, EVERY_MS, onLoggedOut);

  return (
    <section class="board" aria-labelledby="board-title">
      <header class="board-head">
        <h1 id="board-title" tabIndex={-1}>
          {t("board.title")}
        </h1>
        {/* What is read every five seconds is not read aloud; that it is no longer true is. */}
        <p role="status" class={failed && value !== null ? "stale" : "unseen"}>
          {failed && value !== null && (
            <>
              <Icon name="warning" />
              {t("board.stale", { time: words.exact(readAt, Date.now()) })}
            </>
          )}
        </p>
      </header>
      {value === null && !failed && <Busy text={t("board.loading")} />}
      {value === null && failed && (
        <Empty icon="warning" title={t("board.failed")} next={problem || t("app.unreachable_next")}>
          <button type="button" class="button" onClick={renew}>
            {t("app.retry")}
          </button>
        </Empty>
      )}
      {value !== null && (
        <div class={failed ? "board-body old" : "board-body"}>
          <Totals board={value} />
          <Lines lines={value.lines} />
          <People operators={value.operators} />
        </div>
      )}
    </section>
  );
}

function Totals({ board }: { board: Board }) {
  const { t } = useWords();
  const sum = (of: (line: BoardLine) => number): number => board.lines.reduce((total, line) => total + of(line), 0);
  const since = board.lines.flatMap((line) => (line.oldest_waiting_since === null ? [] : [Date.parse(line.oldest_waiting_since)]));
  const waiting = sum((line) => line.waiting);
  const missed = sum((line) => line.missed_24h);
  const online = board.operators.filter((one) => one.presence === "online" && one.on_shift).length;
  return (
    <dl class="totals">
      <Total name={t("board.waiting")} tone={waiting > 0 ? "warn" : ""}>
        <Count of={waiting} />
      </Total>
      <Total name={t("board.oldest")} tone={since.length > 0 ? "warn" : ""}>
        {since.length > 0 ? <Waited since={Math.min(...since)} /> : "–"}
      </Total>
      <Total name={t("board.active")}>
        <Count of={sum((line) => line.active)} />
      </Total>
      <Total name={t("board.missed")} tone={missed > 0 ? "bad" : ""}>
        <Count of={missed} />
      </Total>
      <Total name={t("board.there")}>{t("board.of", { count: online, all: board.operators.length })}</Total>
    </dl>
  );
}

function Total({ name, tone = "", children }: { name: string; tone?: string; children: ComponentChildren }) {
  return (
    <div class={`total ${tone}`}>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

interface Column<T> {
  name: string;
  cell: (row: T) => ComponentChildren;
  tone?: (row: T) => string;
}

/** A table with roles spelled out: on a phone its rows are laid out as cards, and a browser then forgets that it is one. */
function Table<T extends { id: string; name: string }>(props: {
  caption: string;
  head: string;
  rows: readonly T[];
  columns: readonly Column<T>[];
  about: (row: T) => ComponentChildren;
}) {
  const { caption, head, rows, columns, about } = props;
  return (
    <table class="board-table" role="table" aria-label={caption}>
      <thead role="rowgroup">
        <tr role="row">
          <th role="columnheader" scope="col">
            {head}
          </th>
          {columns.map((column) => (
            <th key={column.name} role="columnheader" scope="col">
              {column.name}
            </th>
          ))}
        </tr>
      </thead>
      <tbody role="rowgroup">
        {rows.map((row) => (
          <tr key={row.id} role="row">
            <th role="rowheader" scope="row">
              <bdi>{row.name}</bdi>
              <span class="board-about">{about(row)}</span>
            </th>
            {columns.map((column) => (
              <td key={column.name} role="cell" class={column.tone?.(row)} data-name={column.name}>
                {column.cell(row)}
              </td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Lines({ lines }: { lines: readonly BoardLine[] }) {
  const words = useWords();
  const { t } = words;
  const now = useNow(60_000);
  const above = (tone: string, of: (line: BoardLine) => number) => (line: BoardLine) => (of(line) > 0 ? tone : "zero");
  const number = (name: string, of: (line: BoardLine) => number, tone = ""): Column<BoardLine> => ({
    name,
    cell: (line) => <Count of={of(line)} />,
    tone: above(tone, of),
  });
  const columns: Column<BoardLine>[] = [
    number(t("board.waiting"), (line) => line.waiting, "warn"),
    {
      name: t("board.oldest"),
      cell: (line) => (line.oldest_waiting_since === null ? "–" : <Waited since={Date.parse(line.oldest_waiting_since)} />),
      tone: (line) => (line.oldest_waiting_since === null ? "zero" : "warn"),
    },
    number(t("board.offered"), (line) => line.offered),
    number(t("board.active"), (line) => line.active),
    number(t("board.snoozed"), (line) => line.snoozed),
    number(t("board.answered"), (line) => line.answered_24h),
    number(t("board.missed"), (line) => line.missed_24h, "bad"),
    number(t("board.kpi"), (line) => line.kpi_missed_24h, "bad"),
  ];
  return (
    <section class="board-part">
      <h2>{t("board.lines")}</h2>
      {lines.length === 0 ? (
        <p class="quiet-line">{t("board.no_lines")}</p>
      ) : (
        <Table
          caption={t("board.lines")}
          head={t("board.line")}
          rows={lines}
          columns={columns}
          about={(line) => (
            <>
              <span class={line.open ? "dot online" : "dot offline"} aria-hidden="true" />
              {words.hours(line, now)}
            </>
          )}
        />
      )}
      {lines.length > 0 && <p class="hint">{t("board.day")}</p>}
    </section>
  );
}

function People({ operators }: { operators: readonly BoardOperator[] }) {
  const { t } = useWords();
  const quiet = (of: (one: BoardOperator) => number) => (one: BoardOperator) => (of(one) > 0 ? "" : "zero");
  const number = (name: string, of: (one: BoardOperator) => number): Column<BoardOperator> => ({
    name,
    cell: (one) => <Count of={of(one)} />,
    tone: quiet(of),
  });
  const columns: Column<BoardOperator>[] = [
    { name: t("board.load"), cell: (one) => <Load load={one.load} budget={one.budget} /> },
    number(t("board.sessions"), (one) => one.sessions),
    number(t("board.offers"), (one) => one.offers),
    number(t("board.declined"), (one) => one.declined_24h),
    number(t("board.ran_out"), (one) => one.ran_out_24h),
  ];
  return (
    <section class="board-part">
      <h2>{t("board.people")}</h2>
      {operators.length === 0 ? (
        <p class="quiet-line">{t("board.no_people")}</p>
      ) : (
        <Table
          caption={t("board.people")}
          head={t("board.person")}
          rows={operators}
          columns={columns}
          about={(one) => (
            <>
              <span class={`dot ${one.presence}`} aria-hidden="true" />
              {t(`presence.${one.presence}`)}
              {!one.on_shift && ` · ${t("target.off_shift")}`}
            </>
          )}
        />
      )}
    </section>
  );
}

function Load({ load, budget }: { load: number; budget: number }) {
  const words = useWords();
  const part = budget > 0 ? Math.min(1, load / budget) : load > 0 ? 1 : 0;
  return (
    <span class={part >= 1 ? "load full" : "load"}>
      <span class="load-bar" aria-hidden="true">
        <span style={{ width: `${Math.round(part * 100)}%` }} />
      </span>
      {words.t("board.of", { count: load, all: budget })}
    </span>
  );
}

function Count({ of }: { of: number }) {
  return <>{useWords().number(of)}</>;
}

/** Ticks between two readings. */
function Waited({ since }: { since: number }) {
  const words = useWords();
  return <>{words.duration(useNow(1000) - since)}</>;
}
