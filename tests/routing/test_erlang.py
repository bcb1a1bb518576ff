"""Erlang B, C and A: printed values, a chain solved without the formulas, limits, directions, and a simulated day."""

from __future__ import annotations

import math
from dataclasses import astuple
from heapq import heapify, heapreplace
from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from broker.errors import BadInput
from routing.erlang import (
    MOST_LOAD,
    MOST_PATIENCE,
    Forecast,
    erlang_b,
    erlang_c,
    forecast_impatient,
    forecast_patient,
    staffing,
)

SERVERS = st.integers(1, 400)
LOADS = st.floats(0.01, 500)
PATIENCE = st.floats(1, 20_000)
THRESHOLDS = st.floats(0, 600)
ROUNDING = 1e-9
FEW = settings(max_examples=60, deadline=None)


def impatient(servers: int, load: float, patience: float, within: float = 20, handling: float = 180) -> Forecast:
    return forecast_impatient(servers, load, handling_seconds=handling, answer_within_seconds=within, patience_seconds=patience)


def patient(servers: int, load: float, within: float = 20, handling: float = 180) -> Forecast:
    return forecast_patient(servers, load, handling_seconds=handling, answer_within_seconds=within)


class TestPrintedValues:
    @pytest.mark.parametrize(
        ("servers", "load", "blocked", "digits"),
        [
            (15, 8.108, 0.01, 1e-6),  # Westbay Engineers, erlang.com: "How much traffic can a trunk group handle?"
            (30, 25, 0.05, 0.005),  # Wolfram documentation, "Compute Loss Probabilities for a Queue": approximately 0.05
            (1, 1, 1 / 2, 1e-15),  # by hand: 1 / (1 + 1)
            (2, 1, 1 / 5, 1e-15),  # by hand: (1 / 2) / (1 + 1 + 1 / 2)
        ],
    )
    def test_loss(self, servers: int, load: float, blocked: float, digits: float) -> None:
        """Erlang B gives what tables give."""
        assert blocked == pytest.approx(erlang_b(servers, load), abs=digits)

    def test_delay(self) -> None:
        """Erlang C gives what the R package ErlangC 0.1.0 prints: 100 calls in 30 minutes, 180 s each, 14 agents, 20 s."""
        expected = patient(14, 10)

        assert (0.1741319, 0.88835, 7.83593701177724, 0.7142857) == pytest.approx(
            (expected.waiting, expected.within, expected.mean_wait_seconds, expected.occupancy), abs=1e-6
        )

    def test_abandonment(self) -> None:
        """Erlang A gives what the guide of pyworkforce prints: the same calls, patience of 5 minutes, 13 agents."""
        expected = impatient(13, 10, patience=300)

        assert (0.858, 0.750, 0.025, 0.226) == pytest.approx(
            (expected.within, expected.occupancy, expected.abandoned, expected.waiting), abs=5e-4
        )

    def test_what_impatience_changes(self) -> None:
        """The example of Garnett, Mandelbaum and Reiman: 50 agents, 48 calls a minute of a minute each, patience 2 minutes."""
        stay, leave = patient(50, 48, handling=60), impatient(50, 48, patience=120, handling=60)

        assert (20.8, 0.96) == pytest.approx((stay.mean_wait_seconds, stay.occupancy), abs=0.05)
        assert (3.7, 0.93) == pytest.approx((leave.mean_wait_seconds, leave.occupancy), abs=0.05)
        assert 0.031 == pytest.approx(leave.abandoned, abs=0.0005)


class TestChain:
    """A generator matrix, solved by elimination, and the fate of one who waits, step by step: no formula of Erlang's in it."""

    @pytest.mark.parametrize(
        ("servers", "load", "patience", "within"),
        [
            (1, 0.4, 1.0, 0.3),
            (1, 3.0, 0.5, 0.2),
            (4, 3.2, 0.2, 0.05),
            (5, 5.0, 2.0, 0.5),
            (6, 9.0, 1.5, 0.9),
            (12, 8.0, 4.0, 0.0),
        ],
    )
    def test_impatient(self, servers: int, load: float, patience: float, within: float) -> None:
        """Every figure is the chain's."""
        expected = impatient(servers, load, patience, within, handling=1)

        assert chain(servers, load, 1 / patience, within) == pytest.approx(astuple(expected), abs=ROUNDING)

    @pytest.mark.parametrize(("servers", "load", "within"), [(1, 0.5, 0.7), (3, 1.5, 0.2), (8, 5.0, 0.0)])
    def test_patient(self, servers: int, load: float, within: float) -> None:
        """Every figure is the chain's when nobody leaves."""
        expected = patient(servers, load, within, handling=1)

        assert chain(servers, load, 0.0, within) == pytest.approx(astuple(expected), abs=1e-8)


def chain(servers: int, load: float, leaving: float, within: float) -> tuple[float, ...]:
    """Return the figures of a `Forecast` for a handling time of 1, with at most 100 customers in the house."""
    size = 101
    rates = [[0.0] * size for _ in range(size)]
    for there in range(size - 1):
        rates[there][there + 1] = load
        rates[there + 1][there] = min(there + 1, servers) + leaving * max(0, there + 1 - servers)
    states = stationary(rates)
    queue = sum(share * max(0, there - servers) for there, share in enumerate(states))
    busy = sum(share * min(there, servers) for there, share in enumerate(states))
    answered = served_in_time(size - servers, servers, leaving, within)
    return (
        busy / servers,
        sum(states[servers:]),
        queue / load,
        sum(states[:servers]) + sum(share * answered[ahead] for ahead, share in enumerate(states[servers:])),
        queue * leaving / load,
    )


def stationary(rates: list[list[float]]) -> list[float]:
    """Solve the balance of *rates* by the elimination of Grassmann, Taksar and Heyman (1985), which never subtracts."""
    size = len(rates)
    rates = [list(row) for row in rates]
    for last in range(size - 1, 0, -1):
        out = sum(rates[last][:last])
        for above in range(last):
            if rates[above][last]:
                rates[above][last] /= out
                for to in range(last):
                    rates[above][to] += rates[above][last] * rates[last][to]
    shares = [1.0]
    for state in range(1, size):
        shares.append(sum(shares[before] * rates[before][state] for before in range(state)))
    whole = sum(shares)
    return [share / whole for share in shares]


def served_in_time(size: int, servers: int, leaving: float, within: float) -> list[float]:
    """Return, for each number of customers ahead, the chance of being served *within*, leaving at *leaving*: by Poisson steps."""
    fastest = servers + leaving * (size + 1)
    # One step of the chain looked at so often; after k steps `chances` holds who has been served in at most k.
    chances = [0.0] * size
    weight, total = math.exp(-fastest * within), [0.0] * size
    for steps in range(1, int(fastest * within + 12 * math.sqrt(fastest * within) + 30)):
        moved = []
        for ahead in range(size):
            on = (servers + leaving * ahead) / fastest
            moved.append(on * (chances[ahead - 1] if ahead else 1.0) + (1 - on - leaving / fastest) * chances[ahead])
        chances = moved
        weight *= fastest * within / steps
        total = [sum_ + weight * chance for sum_, chance in zip(total, chances, strict=True)]
    return total


class TestLimits:
    @FEW
    @example(servers=1, used=0.75, within=0.0)
    @example(servers=1, used=0.97, within=600.0)
    @given(servers=SERVERS, used=st.floats(0.01, 0.97), within=THRESHOLDS)
    def test_endless_patience_is_erlang_c(self, servers: int, used: float, within: float) -> None:
        """Customers who hardly ever leave wait as those who never do, but for the few who leave."""
        load, patience = servers * used, MOST_PATIENCE / 400  # in handling times: the greatest allowed at 400 erlangs
        leave = impatient(servers, load, 180 * patience, within)
        stay = patient(servers, load, within)

        # A finite patience does make some leave: exactly mean wait / patience of all. With k in the queue, its weight used^k is less by
        # at most the share k (k + 1) / 2 / (servers * patience), and the density at a wait of x (in handling times) by at most
        # (x + load * x^2 / 2) / patience; summed over a geometric queue and an exponential wait no share moves by more than
        # `waiting * few`, nor the mean wait by more than three times that share of itself. What is left is the stated rounding.
        few = 1 / (patience * servers * (1 - used) ** 2)
        shares = ("occupancy", "waiting", "within", "abandoned")
        assert [getattr(stay, share) for share in shares] == pytest.approx(
            [getattr(leave, share) for share in shares], rel=0, abs=stay.waiting * few + 1e-6
        )
        assert leave.mean_wait_seconds == pytest.approx(stay.mean_wait_seconds, rel=3 * few + 1e-6, abs=1e-9)

    @FEW
    @given(servers=SERVERS, load=LOADS)
    def test_no_patience_is_erlang_b(self, servers: int, load: float) -> None:
        """Who leaves at once is lost, as in the loss formula."""
        expected = impatient(servers, load, patience=0.001)
        blocked = erlang_b(servers, load)

        assert (blocked, blocked) == pytest.approx((expected.waiting, expected.abandoned), rel=1e-2, abs=1e-12)

    @FEW
    @given(servers=SERVERS, load=LOADS, within=THRESHOLDS)
    def test_patience_of_a_session_is_poisson(self, servers: int, load: float, within: float) -> None:
        """When patience and handling are as long, all leave at one rate: the house holds a Poisson number of customers."""
        expected = impatient(servers, load, patience=180, within=within)
        free = sum(math.exp(there * math.log(load) - load - math.lgamma(there + 1)) for there in range(servers))

        assert 1 - free == pytest.approx(expected.waiting, abs=ROUNDING)

    def test_overload_is_a_flow(self) -> None:
        """Far above capacity the surplus leaves, and the wait is what makes it leave."""
        expected = impatient(400, 500, patience=100_000)

        assert (1.0, 1.0, 0.2, 20_000) == pytest.approx(
            (expected.occupancy, expected.waiting, expected.abandoned, expected.mean_wait_seconds), rel=1e-9
        )

    @pytest.mark.parametrize("servers", [450, 500, 520, 600])
    def test_hundreds_of_servers(self, servers: int) -> None:
        """A load of 500 neither overflows nor loses digits: whole numbers of any length agree."""
        states = [500**busy * (math.factorial(servers) // math.factorial(busy)) for busy in range(servers + 1)]

        assert states[-1] / sum(states) == pytest.approx(erlang_b(servers, 500), rel=1e-12)


class TestDirections:
    @FEW
    @given(servers=SERVERS, load=LOADS, patience=PATIENCE, within=THRESHOLDS)
    def test_another_operator_never_harms(self, servers: int, load: float, patience: float, within: float) -> None:
        """With more servers fewer wait, shorter, fewer leave, more are answered in time."""
        for few, more in (
            (impatient(servers, load, patience, within), impatient(servers + 1, load, patience, within)),
            (patient(servers, load, within), patient(servers + 1, load, within)),
        ):
            assert more.waiting <= few.waiting + ROUNDING
            assert more.mean_wait_seconds <= few.mean_wait_seconds * (1 + ROUNDING) + ROUNDING
            assert more.abandoned <= few.abandoned + ROUNDING
            assert more.within >= few.within - ROUNDING

    @FEW
    @given(servers=SERVERS, load=LOADS, patience=PATIENCE, within=THRESHOLDS)
    def test_more_arrivals_never_help(self, servers: int, load: float, patience: float, within: float) -> None:
        """With a greater load more wait and leave, fewer are answered in time, the servers are busier."""
        quiet, busy = impatient(servers, load, patience, within), impatient(servers, load * 1.1, patience, within)

        assert busy.waiting >= quiet.waiting - ROUNDING
        assert busy.abandoned >= quiet.abandoned - ROUNDING
        assert busy.within <= quiet.within + ROUNDING
        assert busy.occupancy >= quiet.occupancy - ROUNDING

    @FEW
    @given(servers=SERVERS, load=LOADS, patience=PATIENCE)
    def test_who_stays_longer_waits_longer(self, servers: int, load: float, patience: float) -> None:
        """With more patience fewer leave, so more have to wait, longer."""
        hasty, calm = impatient(servers, load, patience), impatient(servers, load, patience * 1.5)

        assert calm.abandoned <= hasty.abandoned + ROUNDING
        assert calm.waiting >= hasty.waiting - ROUNDING
        assert calm.mean_wait_seconds >= hasty.mean_wait_seconds * (1 - 1e-8) - ROUNDING

    @FEW
    @given(servers=SERVERS, load=LOADS, patience=PATIENCE, within=THRESHOLDS)
    def test_shares_are_shares(self, servers: int, load: float, patience: float, within: float) -> None:
        """Every share is between 0 and 1, and nobody both leaves and is answered."""
        expected = impatient(servers, load, patience, within)

        for share in (expected.occupancy, expected.waiting, expected.within, expected.abandoned):
            assert 0 <= share <= 1
        assert expected.within + expected.abandoned <= 1 + ROUNDING
        assert erlang_b(servers, load) <= expected.waiting + ROUNDING
        assert expected.waiting <= erlang_c(servers, load) + ROUNDING


class TestSimulation:
    @pytest.mark.parametrize(("servers", "patience"), [(14, None), (11, 120.0)])
    def test_a_simulated_line_agrees(self, servers: int, patience: float | None) -> None:
        """100,000 seeded customers: shares within 0.01, the mean wait within 5 %."""
        waiting, mean_wait, within, abandoned = simulate(servers, 200, 180, patience, 20, Random(1917), customers=100_000)
        expected = patient(servers, 10) if patience is None else impatient(servers, 10, patience)

        assert (expected.waiting, expected.within, expected.abandoned) == pytest.approx((waiting, within, abandoned), abs=0.01)
        assert expected.mean_wait_seconds == pytest.approx(mean_wait, rel=0.05)


def simulate(
    servers: int, per_hour: float, handling: float, patience: float | None, threshold: float, chance: Random, *, customers: int
) -> tuple[float, float, float, float]:
    """Serve customers one after the other: the next server to be free takes the next who has not left."""
    free_at = [0.0] * servers
    heapify(free_at)
    now = waited = 0.0
    waiting = within = abandoned = 0
    for _ in range(customers):
        now += chance.expovariate(per_hour / 3600)
        wait = max(0.0, free_at[0] - now)
        bears = math.inf if patience is None else chance.expovariate(1 / patience)
        waiting += wait > 0
        waited += min(wait, bears)
        if bears < wait:
            abandoned += 1
            continue
        within += wait <= threshold
        heapreplace(free_at, now + wait + chance.expovariate(1 / handling))
    return waiting / customers, waited / customers, within / customers, abandoned / customers


class TestStaffing:
    def test_the_fewest_who_are_enough_stand_in_the_middle(self) -> None:
        """Three rows below miss the target, the fourth is the first to meet it: 14, as pyworkforce finds."""
        rows = staffing(200, 180, answer_within_seconds=20, target=0.8)

        assert [(operators, operators >= 14) for operators in range(11, 18)] == [
            (row.operators, row.meets_target) for row in rows
        ]
        assert astuple(patient(14, 10)) == astuple(rows[3])[2:]

    def test_too_few_operators_wait_without_end(self) -> None:
        """In Erlang C a load that reaches the servers has no steady state: an endless wait, nobody in time."""
        rows = staffing(200, 180, answer_within_seconds=20, target=0.8, around=4)

        assert (10, False, 1.0, 1.0, math.inf, 0.0, 0.0) == astuple(rows[0])
        assert 1.0 == erlang_c(10, 10)

    def test_impatience_needs_fewer(self) -> None:
        """Those who leave make room, and are counted."""
        stay = staffing(200, 180, answer_within_seconds=20, target=0.8, around=0)[0]
        leave = staffing(200, 180, answer_within_seconds=20, target=0.8, patience_seconds=60, around=0)[0]

        assert leave.operators < stay.operators
        assert leave.abandoned > 0

    def test_side_by_side(self) -> None:
        """Four sessions at once are four servers for each operator."""
        rows = staffing(200, 180, answer_within_seconds=20, target=0.8, at_once=4)

        assert [1, 2, 3, 4, 5, 6, 7] == [row.operators for row in rows]
        assert astuple(patient(16, 10)) == astuple(rows[3])[2:]

    def test_nobody_comes(self) -> None:
        """With no arrivals one operator is enough, idle."""
        for patience in (None, 60):
            rows = staffing(0, 180, answer_within_seconds=0, target=0.99, patience_seconds=patience, around=1)

            assert [(1, True, 0.0, 0.0, 0.0, 1.0, 0.0), (2, True, 0.0, 0.0, 0.0, 1.0, 0.0)] == [astuple(row) for row in rows]

    @FEW
    @given(
        arrivals=st.floats(0, 5000),
        within=THRESHOLDS,
        target=st.floats(0.01, 0.999),
        patience=st.none() | PATIENCE,
        at_once=st.integers(1, 10),
    )
    def test_one_fewer_is_too_few(
        self, arrivals: float, within: float, target: float, patience: float | None, at_once: int
    ) -> None:
        """The rows are next to one another, and turn from too few to enough where the fewest stand."""
        rows = staffing(
            arrivals, 300, answer_within_seconds=within, target=target, patience_seconds=patience, at_once=at_once, around=1
        )

        *below, fewest, above = rows
        assert [fewest.operators - 1] * (fewest.operators > 1) == [row.operators for row in below]
        assert fewest.operators + 1 == above.operators
        assert [False] * len(below) + [True, True] == [row.meets_target for row in rows]

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("arrivals_per_hour", -1),
            ("arrivals_per_hour", math.inf),
            ("handling_seconds", 0),
            ("handling_seconds", math.nan),
            ("answer_within_seconds", -1),
            ("target", 0),
            ("target", 1),
            ("target", 80),
            ("target", math.nan),
            ("patience_seconds", 0),
            ("patience_seconds", math.inf),
            ("at_once", 0),
            ("at_once", 2.5),
            ("around", -1),
        ],
    )
    def test_bad_input_names_its_place(self, field: str, value: float) -> None:
        """What cannot be meant is refused with the name of the argument."""
        given_ = {"arrivals_per_hour": 100, "handling_seconds": 180, "answer_within_seconds": 20, "target": 0.8, field: value}

        with pytest.raises(BadInput, match=field) as refused:
            staffing(**given_)  # type: ignore[arg-type]

        assert field == refused.value.field

    def test_sizes_that_cannot_be_meant(self) -> None:
        """A load beyond any contact centre and a patience beyond any arrivals are refused, not computed for hours."""
        with pytest.raises(BadInput, match="check the arrivals"):
            staffing(1e9, 3600, answer_within_seconds=20, target=0.8)
        with pytest.raises(BadInput, match="leave patience out"):
            impatient(MOST_LOAD, MOST_LOAD, patience=180 * 1001)
        with pytest.raises(BadInput, match="servers"):
            erlang_b(0, 1)
