"""How many operators a line needs, by the formulas of Erlang and Palm. Pure.

    staffing(120, 240, answer_within_seconds=20, target=0.8) -> rows around the fewest operators who are enough

Customers arrive at random at a steady rate (Poisson), the time a session takes is exponential, all servers are alike, the queue is
first come, first served. The three formulas differ in what a customer does whom nobody can serve at once:

    Erlang B   goes away at once
    Erlang C   waits for ever
    Erlang A   waits as long as their patience lasts, which is exponential too

The load is in erlangs: arrivals in one handling time, which is also how many sessions would be served at a time if nobody waited.

Sources:

- A. K. Erlang, "Solution of some problems in the theory of probabilities of significance in automatic telephone exchanges",
  Post Office Electrical Engineers' Journal 10 (1918), 189-197; in Danish 1917: B and C.
- C. Palm, "Research on telephone traffic carried by full availability groups", Tele 1 (1957; in Swedish 1946): A.
- O. Garnett, A. Mandelbaum, M. Reiman, "Designing a call center with impatient customers", Manufacturing & Service Operations
  Management 4 (2002), 208-227: A for contact centres.
- S. Zeltyn, A. Mandelbaum, "Call centers with impatient customers: many-server asymptotics of the M/M/n + G queue", Queueing
  Systems 51 (2005), 361-402: the distribution of the wait in A.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass

from broker.errors import BadInput

MOST_LOAD = 100_000
"""Erlangs. A load above it is a slip of the pen."""

MOST_SERVERS = 1_000_000
MOST_AT_ONCE = 1000
MOST_AROUND = 100

LEAST_SECONDS, MOST_SECONDS = 0.001, 1e9
"""A millisecond to 31 years: any time that means something."""

MOST_PATIENCE = 100_000_000
"""Arrivals in one mean patience. Who waits longer does not leave: that is Erlang C."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What the formula expects in the long run; shares are of all arrivals, 0 to 1.

    *mean_wait_seconds* counts everybody, those served at once and those who left too; `math.inf` where the queue grows without end.
    *within* is the share answered within the threshold: who left is not answered. *occupancy* is the busy share of the servers.
    """

    occupancy: float
    waiting: float
    mean_wait_seconds: float
    within: float
    abandoned: float


@dataclass(frozen=True, slots=True)
class StaffingRow:
    """What so many operators would mean; the rest as in `Forecast`."""

    operators: int
    meets_target: bool
    occupancy: float
    waiting: float
    mean_wait_seconds: float
    within: float
    abandoned: float


def staffing(
    arrivals_per_hour: float,
    handling_seconds: float,
    *,
    answer_within_seconds: float,
    target: float,
    patience_seconds: float | None = None,
    at_once: int = 1,
    around: int = 3,
) -> tuple[StaffingRow, ...]:
    """Return a row for each number of operators from *around* below the fewest who meet *target* to *around* above; never below 1.

    *target* is the share of arrivals to be answered within *answer_within_seconds*. By Erlang A when *patience_seconds*, the mean,
    is given; else by Erlang C, in which too few operators mean that the queue grows without end: `mean_wait_seconds` is `math.inf`.
    With no arrivals one operator is enough.

    *at_once* is how many sessions an operator serves side by side: the capacity budget by the weight of one session, 100 / 25 = 4
    for chats. *handling_seconds* is then how long such a session is open, the silences included. **An approximation**: operators *
    at_once independent servers. It holds as far as a session lasts no longer for its neighbours, and it knows one weight only. An
    operator busy with four is slower with each than with one, so measure *handling_seconds* at the load you plan for.

    Raises BadInput.
    """
    _check_zero_or_more("arrivals_per_hour", arrivals_per_hour)
    _check_seconds("handling_seconds", handling_seconds)
    _check_whole("at_once", at_once, 1, MOST_AT_ONCE)
    _check_whole("around", around, 0, MOST_AROUND)
    if not 0 < target < 1:
        raise BadInput(f"target: {target} is not between 0 and 1; 0.8 is 80 %, and no staff reaches all", field="target")
    load = arrivals_per_hour / 3600 * handling_seconds

    def expect(operators: int) -> Forecast:
        if patience_seconds is None:
            return forecast_patient(
                operators * at_once, load, handling_seconds=handling_seconds, answer_within_seconds=answer_within_seconds
            )
        return forecast_impatient(
            operators * at_once,
            load,
            handling_seconds=handling_seconds,
            answer_within_seconds=answer_within_seconds,
            patience_seconds=patience_seconds,
        )

    enough = 1
    while expect(enough).within < target:
        enough *= 2
    # Below *enough* / 2 all were too few; the share grows with each operator.
    tried = range(enough // 2 + 1, enough + 1)
    fewest = tried[bisect_left(tried, True, key=lambda operators: expect(operators).within >= target)]
    return tuple(_row(operators, expect(operators), target) for operators in range(max(1, fewest - around), fewest + around + 1))


def erlang_b(servers: int, load: float) -> float:
    """Return the probability that all *servers* are busy when nobody waits: Erlang's loss formula (1917). Raises BadInput."""
    _check(servers, load)
    blocked = 1.0
    for server in range(1, servers + 1):
        # B(n) = load * B(n-1) / (n + load * B(n-1)): nothing but positive numbers, nothing to overflow.
        blocked = load * blocked / (server + load * blocked)
        if not blocked:
            break
    return blocked


def erlang_c(servers: int, load: float) -> float:
    """Return the probability of having to wait when everybody does: Erlang's delay formula (1917).

    1 when *load* is not below *servers*: the queue grows without end. Raises BadInput.
    """
    blocked = erlang_b(servers, load)
    if load >= servers:
        return 1.0
    return servers * blocked / (servers - load + load * blocked)


def forecast_patient(servers: int, load: float, *, handling_seconds: float, answer_within_seconds: float) -> Forecast:
    """Return what Erlang C expects; nobody leaves. Raises BadInput.

    When *load* is not below *servers* there is no steady state: everybody waits, nobody is answered within any time, the mean wait
    is `math.inf`.
    """
    _check_seconds("handling_seconds", handling_seconds)
    _check_zero_or_more("answer_within_seconds", answer_within_seconds)
    waiting = erlang_c(servers, load)
    if load >= servers:
        return Forecast(occupancy=1.0, waiting=1.0, mean_wait_seconds=math.inf, within=0.0, abandoned=0.0)
    # The wait of those who wait is exponential, with the spare rate of the servers.
    spare = (servers - load) / handling_seconds
    late = waiting * math.exp(-spare * answer_within_seconds)
    return Forecast(
        occupancy=load / servers,
        waiting=waiting,
        mean_wait_seconds=waiting / spare,
        within=1 - late,
        abandoned=0.0,
    )


def forecast_impatient(
    servers: int, load: float, *, handling_seconds: float, answer_within_seconds: float, patience_seconds: float
) -> Forecast:
    """Return what Erlang A expects; it is steady at any load. *patience_seconds* is the mean. Raises BadInput.

    Exact but for rounding, which grows with the arrivals in one patience: shares are off by 1e-10 where these are thousands, by
    1e-6 where they are `MOST_PATIENCE`.
    """
    _check_seconds("handling_seconds", handling_seconds)
    _check_zero_or_more("answer_within_seconds", answer_within_seconds)
    _check_seconds("patience_seconds", patience_seconds)
    blocked = erlang_b(servers, load)
    patience = patience_seconds / handling_seconds
    offered, served = load * patience, servers * patience
    if offered == 0:
        return Forecast(occupancy=0.0, waiting=0.0, mean_wait_seconds=0.0, within=1.0, abandoned=0.0)
    if offered > MOST_PATIENCE:
        raise BadInput(
            f"patience_seconds: {offered:.3g} customers would arrive before one loses patience, the limit is {MOST_PATIENCE:.0e}; "
            "leave patience out, for customers who wait for ever",
            field="patience_seconds",
        )
    queue = _queue(served, offered)
    # All states together, in units of "all servers busy, nobody waits", times *blocked*.
    whole = (1 - blocked) * queue.empty + blocked * (queue.empty + queue.occupied)
    waiting = blocked * (queue.empty + queue.occupied) / whole
    # Little: those who wait leave at 1 / patience each.
    abandoned = blocked * queue.length / whole / offered

    # Who arrives now and is patient would be served after V; its density falls as exp(offered * (1 - e^-x) - served * x), x = V in
    # patiences (Zeltyn and Mandelbaum). Integrated from the threshold on it is the same series again, with those arrivals only
    # that would still be waiting.
    at = answer_within_seconds / patience_seconds
    beyond = _queue(served, offered * math.exp(-at))
    fall = -offered * math.expm1(-at) - served * at + beyond.log_scale - queue.log_scale
    late = blocked * math.exp(fall) * beyond.occupied * servers / load / whole
    return Forecast(
        occupancy=min(1.0, load * (1 - abandoned) / servers),
        waiting=waiting,
        mean_wait_seconds=abandoned * patience_seconds,
        within=max(0.0, 1 - abandoned - late),
        abandoned=abandoned,
    )


@dataclass(frozen=True, slots=True)
class _Queue:
    """The states in which all servers are busy, all in units of exp(*log_scale*) times the first of them.

    *empty*: nobody waits. *occupied*: the sum of all in which somebody waits. *length*: the same, each times how many wait.
    """

    log_scale: float
    empty: float
    occupied: float
    length: float


def _queue(served: float, offered: float) -> _Queue:
    """Sum offered^k / ((served + 1) ... (served + k)) over k: Palm's function, an incomplete gamma function in other words.

    *served* and *offered* are rates by the rate at which one customer loses patience. From the greatest term to both sides, so that
    nothing overflows; all terms are positive, so that nothing cancels; the terms that count are about 18 times the root of *offered*.
    """
    peak = max(0, math.floor(offered - served))
    log_scale = peak * math.log(offered) - math.lgamma(served + peak + 1) + math.lgamma(served + 1) if peak else 0.0
    term = 1.0 if peak else 0.0
    occupied, length = term, term * peak
    for waiting in range(peak - 1, 0, -1):
        term *= (served + waiting + 1) / offered
        occupied += term
        length += term * waiting
        if term < 1e-20 * occupied:
            break
    term, waiting = 1.0, peak
    while True:
        waiting += 1
        ratio = offered / (served + waiting)
        term *= ratio
        occupied += term
        length += term * waiting
        # What is left is less than a geometric series.
        if term * ratio <= 1e-18 * occupied * (1 - ratio):
            return _Queue(log_scale, math.exp(-log_scale), occupied, length)


def _row(operators: int, expected: Forecast, target: float) -> StaffingRow:
    return StaffingRow(
        operators=operators,
        meets_target=expected.within >= target,
        occupancy=expected.occupancy,
        waiting=expected.waiting,
        mean_wait_seconds=expected.mean_wait_seconds,
        within=expected.within,
        abandoned=expected.abandoned,
    )


def _check(servers: int, load: float) -> None:
    _check_whole("servers", servers, 1, MOST_SERVERS)
    _check_zero_or_more("load", load)
    if load > MOST_LOAD:
        raise BadInput(
            f"load: {load:.6g} erlangs is more than {MOST_LOAD}; check the arrivals and the handling time", field="load"
        )


def _check_whole(field: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most or value != int(value):
        raise BadInput(f"{field}: {value} is not a whole number from {least} to {most}", field=field)


# What is not a number is refused too: it compares false with everything.
def _check_seconds(field: str, value: float) -> None:
    if not LEAST_SECONDS <= value <= MOST_SECONDS:
        raise BadInput(f"{field}: {value} is not between {LEAST_SECONDS} and {MOST_SECONDS:.0e} seconds", field=field)


def _check_zero_or_more(field: str, value: float) -> None:
    if not 0 <= value < math.inf:
        raise BadInput(f"{field}: {value} is not a finite number of 0 or more", field=field)
