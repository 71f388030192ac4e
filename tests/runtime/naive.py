"""Cache policies written down as their papers say, for tests: lists, no care for speed."""


def lru_hits(stream, capacity):
    """An access hits if fewer than ``capacity`` others came since the last one of the block."""
    hits = 0
    for k, block in enumerate(stream):
        earlier = [j for j in range(k) if stream[j] == block]
        hits += bool(earlier) and len(set(stream[earlier[-1] + 1:k])) < capacity
    return hits


def fifo_hits(stream, capacity):
    queue, hits = [], 0
    for block in stream:
        if block in queue:
            hits += 1
        else:
            queue = [*queue, block][-capacity:]
    return hits


def lfu_hits(stream, capacity):
    uses, last, hits = {}, {}, 0
    for time, block in enumerate(stream):
        if block in uses:
            hits += 1
        elif len(uses) == capacity:
            victim = min(uses, key=lambda b: (uses[b], last[b]))
            del uses[victim]
        uses[block] = uses.get(block, 0) + 1
        last[block] = time
    return hits


def slru_hits(stream, capacity, share=0.8):
    """The protected part is bounded from the first eviction on."""
    probation, protected, hits, full = [], [], 0, False

    def bound():
        while full and len(protected) > int(share * capacity):
            probation.append(protected.pop(0))

    for block in stream:
        if block in probation or block in protected:
            hits += 1
            (probation if block in probation else protected).remove(block)
            protected.append(block)
            bound()
            continue
        if len(probation) + len(protected) == capacity:
            full = True
            bound()
            (probation or protected).pop(0)
        probation.append(block)
    return hits


def arc_hits(stream, capacity):
    """Figure 4 of Megiddo and Modha, case by case; lists from the oldest to the youngest."""
    t1, t2, b1, b2, target, hits = [], [], [], [], 0.0, 0

    def replace(block):
        if t1 and (len(t1) > target or (block in b2 and len(t1) == target) or not t2):
            b1.append(t1.pop(0))
        else:
            b2.append(t2.pop(0))

    for block in stream:
        if block in t1 or block in t2:
            hits += 1
            (t1 if block in t1 else t2).remove(block)
            t2.append(block)
        elif block in b1:
            target = min(capacity, target + max(1, len(b2) / len(b1)))
            replace(block)
            b1.remove(block)
            t2.append(block)
        elif block in b2:
            target = max(0, target - max(1, len(b1) / len(b2)))
            replace(block)
            b2.remove(block)
            t2.append(block)
        else:
            everything = len(t1) + len(t2) + len(b1) + len(b2)
            if len(t1) + len(b1) == capacity:
                if len(t1) < capacity:
                    b1.pop(0)
                    replace(block)
                else:
                    t1.pop(0)
            elif everything >= capacity:
                if everything == 2 * capacity:
                    b2.pop(0)
                if len(t1) + len(t2) == capacity:
                    replace(block)
            t1.append(block)
    return hits


def s3fifo_hits(stream, capacity, share=0.1):
    """Algorithm 1 of Yang and others, with the small queue's room rounded down, at least one."""
    small, main, ghost, uses, hits = [], [], [], {}, 0
    room = max(1, int(share * capacity))

    def evict_small():
        while small:
            block = small.pop(0)
            if uses[block] > 1:
                uses[block] = 0
                main.append(block)
            else:
                ghost.append(block)
                del ghost[:-max(1, capacity - room)]
                return True
        return False

    def evict_main():
        while True:
            block = main.pop(0)
            if uses[block] == 0:
                return
            uses[block] -= 1
            main.append(block)

    for block in stream:
        if block in small or block in main:
            hits += 1
            uses[block] = min(3, uses[block] + 1)
            continue
        if len(small) + len(main) == capacity:
            while small and (len(small) >= room or not main):
                if evict_small():
                    break
            else:
                evict_main()
        # A ghost that was pushed out by this very eviction is forgotten.
        if block in ghost:
            ghost.remove(block)
            main.append(block)
        else:
            small.append(block)
        uses[block] = 0
    return hits


def best_hits(stream, capacity, bypass):
    """Most hits of all ways to choose victims."""
    best = {frozenset(): 0}
    for block in stream:
        after: dict[frozenset[int], int] = {}
        for held, hits in best.items():
            if block in held:
                choices = [(held, hits + 1)]
            else:
                choices = [(held - {v} | {block}, hits) for v in held]
                if len(held) < capacity:
                    choices = [(held | {block}, hits)]
                if bypass:
                    choices.append((held, hits))
            for state, count in choices:
                after[frozenset(state)] = max(after.get(frozenset(state), -1), count)
        best = after
    return max(best.values())
