"""draft"""
from __future__ import annotations
import random, statistics, sys
from benchmarks.pace_simulation import *
from target_liveintent.delivery.pace import Pace, Signal

def client(seed, n, ceiling=64, at=0.0):
    return Client(Pace(ceiling, jitter=seed.random), n, at)

def ideal(rates, n):
    t, left = 0.0, float(n)
    for (a, r), (b, _) in zip(rates, rates[1:] + [(1e9, 0)]):
        if left <= (b - a) * r:
            return a + left / r
        left -= (b - a) * r

def q(xs):
    xs = sorted(xs)
    return f"{statistics.median(xs):7.2f} / {xs[int(len(xs)*.9)-0 if len(xs)*.9<len(xs) else -1]:7.2f} / {xs[-1]:7.2f}"

def bucket(name, rates, burst, n, ra=None, seeds=20, target=""):
    time, refused, gaps = [], [], []
    for s in range(seeds):
        seed = random.Random(s)
        api = Bucket(seed, rates, burst, ra)
        c = client(seed, n)
        simulate(api, [c])
        time.append(c.seconds / ideal(rates, n)); refused.append(100 * c.refused)
        ts = [0.0] + [e.answered_at for e in c.taken()]
        gaps.append(max(b - a for a, b in zip(ts, ts[1:])))
    print(f"{name:34} time {q(time)}   refused {q(refused)} %  gap {max(gaps):5.1f}  target {target}")

def main(seeds=20, outages=True):
    bucket("R=1", [(0, 1)], 1, 200, target="1.6 25", seeds=seeds)
    bucket("R=5", [(0, 5)], 1, 200, target="1.35 25", seeds=seeds)
    bucket("R=40", [(0, 40)], 1, 200, target="1.35 25", seeds=seeds)
    bucket("R=20 B=20", [(0, 20)], 20, 200, target="1.5 20", seeds=seeds)
    bucket("R=1 RA=1", [(0, 1)], 1, 30, 1.0, target="1.6 40", seeds=seeds)
    bucket("R=.5", [(0, .5)], 1, 40, target="1.6 50", seeds=seeds)
    bucket("R=.5 RA 5", [(0, .5)], 1, 40, 5.0, target="2.0 50", seeds=seeds)
    bucket("R=.5 RA 30", [(0, .5)], 1, 40, 30.0, target="no failure", seeds=seeds)
    bucket("R=1/60", [(0, 1/60)], 1, 20, target="-", seeds=seeds)
    bucket("R=1/20", [(0, 1/20)], 1, 40, target="-", seeds=seeds)
    bucket("40-4-40 (2,12) 200", [(0, 40), (2, 4), (12, 40)], 1, 200, target="1.7", seeds=seeds)
    bucket("40-4-40 (5,25) 480", [(0, 40), (5, 4), (25, 40)], 1, 480, target="1.7", seeds=seeds)
    bucket("40-4-40 (5,15) 600", [(0, 40), (5, 4), (15, 40)], 1, 600, target="1.7", seeds=seeds)
    bucket("R=500 B=20", [(0, 500)], 20, 3000, target="-", seeds=seeds)
    # queue
    time, p95 = [], []
    for s in range(seeds):
        seed = random.Random(s)
        c = client(seed, 1000)
        simulate(Queue(), [c])
        time.append(c.seconds / (1000 * .05 / 4))
        l = sorted(e.answered_at - e.started_at for e in c.taken())
        p95.append(1000 * l[int(.95 * len(l))])
    print("queue", q(time), " p95 ms", q(p95), "target 1.11, 200")
    time = []
    for s in range(seeds):
        seed = random.Random(s)
        c = client(seed, 1500)
        simulate(OpenRoad(seed), [c])
        time.append(c.seconds)
    print("open 1500", q(time), "target 10")
    for burst in (10, 1):
        low, high, refused, out, silent = [], [], [], 0, []
        for s in range(seeds):
            seed = random.Random(s)
            api = Bucket(seed, [(0, 30)], burst)
            cs = [client(seed, 10000, at=seed.uniform(0, 5)) for _ in range(3)]
            simulate(api, cs, until=330)
            shares = [len(c.taken(30, 150)) / (120*30) * 3 for c in cs]
            silent.append(max(b - a for c in cs for a, b in itertools.pairwise([20.0] + [e.answered_at for e in c.taken(20)] + [330.0])))
            low.append(min(shares)); high.append(max(shares)); refused.append(100*sum(c.refused for c in cs)/3)
            out += min(shares) < .5 or max(shares) > 2
        print("three burst", burst, "least", q(low), "most", q(high), "refused", q(refused), "outside", out, "silent", q(silent))
    for share in (.1, .25, .4):
        time = []
        for s in range(seeds):
            seed = random.Random(s)
            c = client(seed, 200)
            simulate(RandomFaults(seed, share, OpenRoad(seed)), [c])
            time.append(c.seconds)
        print("random faults", share, q(time), "target -/60/600")
    kinds = {"503": Reply(.05, Signal.LIMITED), "500": Reply(.05, Signal.FAULT), "reset fast": Reply(.001, Signal.FAULT),
             "timeout": Reply(30., Signal.LIMITED), "timeout 3 s": Reply(3., Signal.LIMITED)}
    for name, reply in kinds.items():
        for length in (1, 5, 20, 60, 300) if outages else ():
            late, cost, back = [], [], []
            for s in range(4):
                seed = random.Random(s)
                c = client(seed, 16000)
                since = seed.uniform(4, 5)
                simulate(Outage(OpenRoad(seed), since, since + length, reply), [c], until=since + length + 60)
                starts = [e.started_at for e in c.exchanges if e.started_at >= since]
                late.append(min(x for x in starts if x >= since + length) - since - length)
                cost.append(sum(e.signal is not Signal.TAKEN and e.answered_at>=since for e in c.exchanges))
                back.append(len([e for e in c.exchanges if since + length <= e.started_at < since+length + 60]) / 640)
            print(f"outage {name:12} {length:4} late {q(late)} cost {q(cost)} full seconds in 60 after {q(back)}")
    for most, secs, n in ((60, 60, 300), (100, 10, 500)):
        for tells in (False, True):
            time, refused = [], []
            for s in range(seeds):
                seed = random.Random(s)
                api = FixedWindows(seed, most, secs, tells=tells)
                c = client(seed, n)
                simulate(api, [c])
                time.append(c.seconds / (n * secs / most)); refused.append(100 * c.refused)
            print("windows", most, secs, tells, q(time), "refused", q(refused))
if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20, len(sys.argv) < 3)
