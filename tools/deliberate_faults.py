"""The deliberate faults that the searches by simulation must find, in the session core and in every recipe.

Rule: a fault is one that somebody could make, not a crash: the package imports, and works while nothing goes wrong, or
nearly. `mutations` puts them in, one at a time. Where one survives, the search is blind in that place: either the
code does the same with it (then it is no fault), or the search has to look harder.
"""

from __future__ import annotations

from .mutations import Mutation

CLIENT = "packages/zk-client/src/zk_client/"
RECIPES = "packages/zk-recipes/src/zk_recipes/"
TESTS = "packages/zk-recipes/tests/"

SESSION = f"{TESTS}test_session_search.py::test_what_a_session_says_is_so_whatever_goes_wrong"
LOCK = f"{TESTS}test_lock_search.py::test_never_two_holders_whatever_goes_wrong"
BARRIER = f"{TESTS}test_barrier.py::test_a_wait_ends_after_the_removal_whatever_goes_wrong"
DATA_WATCH = f"{TESTS}test_watchers_search.py::test_the_last_call_tells_the_latest_state_whatever_goes_wrong"
CHILDREN_WATCH = f"{TESTS}test_watchers_search.py::test_the_last_call_tells_the_latest_children_whatever_goes_wrong"
CACHE = f"{TESTS}test_caches_search.py::test_the_cache_becomes_what_the_server_has"
COUNTER = f"{TESTS}test_counter.py::test_every_addition_counts_once_whatever_goes_wrong"
SHARED = f"{TESTS}test_shared_value.py::test_the_history_of_values_is_one_chain_whatever_goes_wrong"
QUEUE = f"{TESTS}test_queue.py::test_every_entry_is_got_once_whatever_goes_wrong"
LOCKING_QUEUE = f"{TESTS}test_locking_queue.py::test_every_entry_is_consumed_once_whatever_goes_wrong"
WORK_QUEUE = f"{TESTS}test_work_queue.py::test_every_job_has_its_effect_once_whatever_goes_wrong"
SEMAPHORE = f"{TESTS}test_semaphore_search.py::test_never_more_leases_than_the_number_says"
READ_WRITE = f"{TESTS}test_rwlock_search.py::test_never_a_writer_beside_anybody"
DOWNGRADE = f"{TESTS}test_rwlock_search.py::test_a_downgrade_is_never_overtaken_whatever_goes_wrong"
ELECTION = f"{TESTS}test_election.py::test_never_two_leaders_whatever_goes_wrong"
MEMBERS = f"{TESTS}test_members_search.py::test_members_come_back_whatever_goes_wrong"
DOUBLE_BARRIER = f"{TESTS}test_double_barrier.py::test_members_enter_and_leave_together_whatever_goes_wrong"
PARTITIONER = f"{TESTS}test_partitioner.py::test_no_item_is_worked_on_by_two"
MULTILOCK = f"{TESTS}test_multilock.py::test_several_locks_exclude_and_never_deadlock"
REENTRANT = f"{TESTS}test_reentrant.py::test_never_two_workers_inside_whatever_goes_wrong"
LEASE = f"{TESTS}test_lease.py::test_never_two_holders_of_a_lease_whatever_goes_wrong"
DURABLE_LEASE = f"{TESTS}test_durable_lease.py::test_never_two_holders_of_a_durable_lease"
NON_BLOCKING_LEASE = f"{TESTS}test_non_blocking_lease.py::test_nobody_gets_a_lease_that_another_has"

IN_THE_CLIENT = (
    Mutation(
        "watches-not-set-again",
        f"{CLIENT}_session/machine.py",
        "        requests = self.watches.rearm(self._watch_zxid)\n",
        "        requests = self.watches.rearm(self._watch_zxid)[:0]\n",
        "after a reconnect no watch is set again",
        (BARRIER,),
    ),
    Mutation(
        "watches-set-again-too-late",
        f"{CLIENT}_session/machine.py",
        "        requests = self.watches.rearm(self._watch_zxid)\n",
        "        requests = self.watches.rearm(2**62)\n",
        "watches are set again as of now, so that what happened meanwhile is not reported",
        (DATA_WATCH,),
    ),
    Mutation(
        "end-of-the-session-not-told",
        f"{CLIENT}_session/machine.py",
        "        for path, listener in self.watches.drop_all():\n"
        "            self._tell(listener, EventType.NONE, path, -1, SessionState.EXPIRED)\n",
        "        self.watches.drop_all()\n",
        "who watches is not told that the session has ended, and the watch with it",
        (DATA_WATCH,),
    ),
    Mutation(
        "lost-writes-sent-again",
        f"{CLIENT}_session/machine.py",
        "            elif never_sent or call.recovery is None:\n",
        "            elif True:\n",
        "a write whose reply was lost is sent again without a look at what became of it",
        (QUEUE,),
    ),
    Mutation(
        "lost-delete-called-somebody-elses",
        f"{CLIENT}_session/machine.py",
        "            error.outcome = verdict.outcome\n",
        "            error.outcome = Outcome.NOT_APPLIED\n",
        "a node that is gone after a delete whose reply was lost counts as deleted by somebody else",
        (BARRIER,),
    ),
    Mutation(
        "writes-of-an-ended-session-called-not-applied",
        f"{CLIENT}_session/machine.py",
        "            self._fail(call, error(call, Outcome.UNKNOWN))\n",
        "            self._fail(call, error(call, Outcome.NOT_APPLIED))\n",
        "a lost write is said not to have been applied when its session ends",
        (COUNTER,),
    ),
    Mutation(
        "lease-counted-from-the-reply",
        f"{CLIENT}_session/core.py",
        "                if timers.lease_base is None or lone.sent_at > timers.lease_base:\n"
        "                    timers.lease_base = lone.sent_at\n",
        "                timers.lease_base = now\n",
        "the lease is counted from when an answer was read, not from when its request was sent",
        (LOCK,),
    ),
    Mutation(
        "lease-believed-after-its-end",
        f"{CLIENT}_session/timers.py",
        "        return max(0.0, self.lease_base + self.timeout * (1 - LEASE_MARGIN) - now)\n",
        "        return max(0.0, self.local_expiry - now)\n",
        "the lease is believed for as long as the client would go on trying",
        (LOCK,),
    ),
    Mutation(
        "lost-transaction-called-applied",
        f"{CLIENT}_session/transaction_recovery.py",
        "            return Verdict(Outcome.NOT_APPLIED)\n",
        "            return Verdict(Outcome.APPLIED)\n",
        "a transaction whose witness is missing counts as applied",
        (COUNTER,),
    ),
    Mutation(
        "deleted-node-tells-no-child-watch",
        f"{CLIENT}_session/watches.py",
        "    int(EventType.DELETED): (DATA, EXIST, CHILD),\n",
        "    int(EventType.DELETED): (DATA, EXIST),\n",
        "a child watch does not hear that its node was deleted",
        (CHILDREN_WATCH,),
    ),
    Mutation(
        "recursive-watch-blind-below",
        f"{CLIENT}_session/watches.py",
        "            for ancestor in ancestors(path):\n",
        '            for ancestor in (path, path.rpartition("/")[0]):\n',
        "a recursive watch hears of nothing but its node and the children",
        (CACHE,),
    ),
    Mutation(
        "watch-forgotten-here-only",
        f"{CLIENT}_session/wishes.py",
        "            elif not self.watches.watched(path):\n                self._remove_watch(path)\n",
        "",
        "a watch that was given back stays on the server",
        (DATA_WATCH,),
    ),
    Mutation(
        "clean-up-gives-up",
        f"{CLIENT}steps.py",
        "            # Not now: disconnected, or not allowed yet. The pause grows.\n            pass\n",
        "            return\n",
        "clean-up in the background ends with the first lost connection",
        (LOCK,),
    ),
    Mutation(
        "lease-counted-from-the-answer-to-the-handshake",
        f"{CLIENT}_session/machine.py",
        "        self.timers.answered(self._handshake_sent)\n",
        "        self.timers.answered(now)\n",
        "the lease of a session that is confirmed is counted from when that was read",
        (SESSION,),
    ),
    Mutation(
        "lease-counted-from-the-answer-to-a-ping",
        f"{CLIENT}_session/core.py",
        "                self.timers.answered(self._pings[0])\n",
        "                self.timers.answered(self.timers.received)\n",
        "the lease is counted from when the answer to a ping was read",
        (SESSION,),
    ),
    Mutation(
        "lease-while-the-session-is-closed",
        f"{CLIENT}_session/core.py",
        "        return 0.0 if self.phase == CLOSING else self.timers.lease_remaining(now)\n",
        "        return self.timers.lease_remaining(now)\n",
        "a lease is believed although closeSession is on its way",
        (SESSION,),
    ),
    Mutation(
        "no-pings",
        f"{CLIENT}_session/core.py",
        "                self.output.append(self.connection.ping())\n                self._pings += (now,)\n",
        "",
        "a connection that nobody uses is not kept alive",
        (SESSION,),
    ),
    Mutation(
        "dead-server-noticed-too-late",
        f"{CLIENT}_session/timers.py",
        "        longest = self.timeout * 2 / 3\n",
        "        longest = self.timeout * 3\n",
        "a silent server counts as dead only when the session has long been over",
        (SESSION,),
    ),
    Mutation(
        "session-given-up-too-early",
        f"{CLIENT}_session/timers.py",
        "        return self.received + self.timeout * 4 / 3\n",
        "        return self.received + self.timeout * 2 / 3\n",
        "a session is given up that the servers keep",
        (SESSION,),
    ),
    Mutation(
        "handshake-without-an-end",
        f"{CLIENT}_session/core.py",
        "        elif phase == HANDSHAKE and now >= self._due:\n",
        "        elif phase == HANDSHAKE and False:\n",
        "a connection whose server does not answer the connect request is kept",
        (SESSION,),
    ),
    Mutation(
        "lost-writes-that-are-not-looked-up-called-not-applied",
        f"{CLIENT}_session/machine.py",
        "                outcome = Outcome.NOT_APPLIED if never_sent or call.recovery is None else Outcome.UNKNOWN\n",
        "                outcome = Outcome.NOT_APPLIED\n",
        "a write that was sent, of a client that does not wait for a connection, is said not to have been applied",
        (SESSION,),
    ),
    Mutation(
        "given-up-writes-called-not-applied",
        f"{CLIENT}_session/lost.py",
        "            self._finish(call, UNKNOWN)\n",
        "            self._finish(call, Verdict(Outcome.NOT_APPLIED))\n",
        "a write that could not be looked up in time is said not to have been applied",
        (SESSION,),
    ),
    Mutation(
        "writes-under-way-at-a-stop-called-not-applied",
        f"{CLIENT}_session/machine.py",
        "            self._fail(call, error(call, Outcome.UNKNOWN if maybe else Outcome.NOT_APPLIED))\n",
        "            self._fail(call, error(call, Outcome.NOT_APPLIED))\n",
        "a write that was under way when the client was stopped is said not to have been applied",
        (SESSION,),
    ),
    Mutation(
        "watch-armed-for-nobody",
        f"{CLIENT}_session/core.py",
        '        if getattr(listener, "closed", False):\n',
        "        if False:\n",
        "a watch that was closed while its read was under way is armed all the same",
        (SESSION,),
    ),
    Mutation(
        "watch-of-a-cancelled-read-armed",
        f"{CLIENT}_session/core.py",
        "            forgotten = call.abandoned and added and self.watches.forget(path, listener, (table,))\n",
        "            forgotten = False\n",
        "a function is told of a change although the read that named it was cancelled",
        (SESSION,),
    ),
    Mutation(
        "watch-forgotten-for-others-too",
        f"{CLIENT}_session/watches.py",
        "                listeners.remove(listener)\n",
        "                listeners.clear()\n",
        "whoever gives a watch back takes it from all who watch the same node",
        (SESSION,),
    ),
    Mutation(
        "child-watches-not-set-again",
        f"{CLIENT}_session/watches.py",
        "                requests.append(SetWatches(relative_zxid, *part[:3]))\n",
        "                requests.append(SetWatches(relative_zxid, *part[:2], []))\n",
        "after a reconnect the watches on children are not set again",
        (CHILDREN_WATCH,),
    ),
    Mutation(
        "watch-on-a-missing-node-set-again-as-on-data",
        f"{CLIENT}_session/core.py",
        "            table = EXIST  # it watches for the creation\n",
        "            pass\n",
        "a watch on a node that is missing is set again as one on a node that is there",
        (SESSION,),
    ),
    Mutation(
        "zxid-seen-not-kept",
        f"{CLIENT}_session/core.py",
        "        if connection.last_zxid > self.last_zxid:\n            self.last_zxid = connection.last_zxid\n",
        "",
        "what was seen before a reconnect is forgotten, so that watches tell of the past",
        (SESSION,),
    ),
)

IN_THE_RECIPES = (
    Mutation(
        "lock-no-clean-up-of-an-abandoned-node",
        f"{RECIPES}_queue.py",
        "        finally:\n            if not gone:\n                self.abandon(node.guid, node.session_id)\n",
        "        finally:\n            pass\n",
        "a node that could not be deleted at once, because the connection was away, is left in the queue",
        (LOCK,),
    ),
    Mutation(
        "lock-believes-an-old-list",
        f"{RECIPES}_queue.py",
        "                if port.lease_remaining > 0:\n                    return True\n",
        "                return True\n",
        "a contender believes a list that was read so long ago that its session may be over",
        (LOCK,),
    ),
    Mutation(
        "lock-no-watch-on-the-predecessor",
        f"{RECIPES}_queue.py",
        "                await port.get(join_path(self.path, ahead), watch)\n",
        "                await port.get(join_path(self.path, ahead))\n",
        "a contender waits for its predecessor without watching it",
        (LOCK,),
    ),
    Mutation(
        "lock-held-in-another-session",
        f"{RECIPES}_holding.py",
        "            not self.lost and port.session_id == self.node.session_id and port.state not in DEAD"
        " and self._lease() > 0\n",
        "            not self.lost and port.state not in DEAD and self._lease() > 0\n",
        "a holder does not look whether its session is still the one that its node belongs to",
        (LOCK,),
    ),
    Mutation(
        "loss-told-of-what-was-released",
        f"{RECIPES}_holding.py",
        "        except IndexError:\n            return False\n        return True\n",
        "        except IndexError:\n            return True\n        return True\n",
        "the keeper and a release both end a holding, and a loss is told of what was given up",
        (LOCK,),
    ),
    Mutation(
        "lease-without-its-own-end",
        f"{RECIPES}_holding.py",
        "        return lease if self.until is None else min(lease, self.until - self._port.now())\n",
        "        return lease\n",
        "a lease lasts as long as its session",
        (LEASE,),
    ),
    Mutation(
        "semaphore-one-too-many",
        f"{RECIPES}semaphore.py",
        "                if len(names) < limit:\n",
        "                if len(names) <= limit:\n",
        "<= for <: one lease more than there are",
        (SEMAPHORE,),
    ),
    Mutation(
        "semaphore-commit-without-its-check",
        f"{RECIPES}semaphore.py",
        "                    CheckVersionRequest(self._leases, version),\n",
        "                    CheckVersionRequest(self._leases, -1),\n",
        "a lease is taken although the number was changed since it was read",
        (SEMAPHORE,),
    ),
    Mutation(
        "writer-does-not-wait-for-readers",
        f"{RECIPES}rwlock.py",
        "        everybody = names.write.also((names.read.marker, *names.read.others))\n",
        "        everybody = names.write\n",
        "a writer takes no notice of readers",
        (READ_WRITE,),
    ),
    Mutation(
        "downgrade-without-its-number",
        f"{RECIPES}rwlock.py",
        "{self._naming.read.prefix(secret)}{number:010d}",
        "{self._naming.read.prefix(secret)}{number + 1:010d}",
        "a writer that becomes a reader lets the next writer go first",
        (DOWNGRADE, READ_WRITE),
    ),
    Mutation(
        "leader-after-its-lease",
        f"{RECIPES}election.py",
        "        return self._seat.is_acquired\n",
        "        return self._seat._holding is not None\n",
        "a leader believes in its term until it is told of its end",
        (ELECTION,),
    ),
    Mutation(
        "member-after-its-lease",
        f"{RECIPES}persistent_node.py",
        "        return not self._ephemeral or (stat.ephemeral_owner == port.session_id and "
        "port.lease_remaining > 0)\n",
        "        return stat.czxid > 0\n",
        "a member believes that its node is there when its session may be over",
        (MEMBERS,),
    ),
    Mutation(
        "counter-write-without-its-version",
        f"{RECIPES}_register.py",
        "        write = SetDataRequest(self.path, data, seen.version)\n",
        "        write = SetDataRequest(self.path, data, _ANY)\n",
        "a value is replaced whatever stands there by now",
        (COUNTER,),
    ),
    Mutation(
        "counter-marker-not-looked-up",
        f"{RECIPES}_deciding.py",
        "            return await port.commit(operations, marker=markers)\n",
        "            return await port.commit(operations)\n",
        "a write goes out without the marker by which it would be looked up",
        (COUNTER, QUEUE),
    ),
    Mutation(
        "shared-value-forgets-the-read-back",
        f"{RECIPES}_register.py",
        "            if seen is not None and may_be_proved(port, session_id) "
        "and await self._shows_refusal(patience, data, seen):\n",
        "            if seen is not None and may_be_proved(port, session_id):\n",
        "a write that its session did not outlive is taken for refused, without a look at the node",
        (SHARED, COUNTER),
    ),
    Mutation(
        "shared-value-watch-set-after-the-read",
        f"{RECIPES}shared_value.py",
        "                    stat = await port.exists(self.path, watch)\n"
        "                    now = None if stat is None else shown(await self._register.read(port))\n",
        "                    stat = await port.exists(self.path)\n"
        "                    now = None if stat is None else shown(await self._register.read(port))\n"
        "                    await port.exists(self.path, watch)\n",
        "a listener's watch is set after the value was read",
        (SHARED,),
    ),
    Mutation(
        "queue-entry-not-put-back",
        f"{RECIPES}queue.py",
        "            if taking.taken:\n"
        "                await self._port.shielded(self._put_back(found))\n"
        "            elif ",
        "            if ",
        "an entry taken for somebody who was cancelled is gone",
        (QUEUE,),
    ),
    Mutation(
        "queue-age-before-priority",
        f"{RECIPES}_entries.py",
        "        keys[name] = (int(priority), distance if distance < _HALF else distance - 2 * _HALF)\n",
        "        keys[name] = (distance if distance < _HALF else distance - 2 * _HALF, int(priority))\n",
        "the oldest entry is taken before the most urgent one",
        (QUEUE,),
    ),
    Mutation(
        "queue-believes-an-old-listing",
        f"{RECIPES}_entries.py",
        "            if not is_fresh and (isinstance(above, list) or ever_created(above[1]) != listing.created):\n",
        "            if not is_fresh and isinstance(above, list):\n",
        "entries that were put since the queue was listed have to wait",
        (QUEUE,),
    ),
    Mutation(
        "claim-not-given-back",
        f"{RECIPES}_claims.py",
        "        finally:\n            if not settled:\n                self.abandon(name, guid, session_id)\n",
        "        finally:\n            pass\n",
        "a claim whose reply was lost is left on its entry",
        (WORK_QUEUE,),
    ),
    Mutation(
        "freed-entry-not-watched",
        f"{RECIPES}_claims.py",
        "zip((self.entries, self.taken), watches, strict=True):",
        "zip((self.entries,), watches[:1], strict=True):",
        "who waits does not hear that an entry is free again",
        (LOCKING_QUEUE,),
    ),
    Mutation(
        "new-entry-not-watched",
        f"{RECIPES}_claims.py",
        "zip((self.entries, self.taken), watches, strict=True):",
        "zip((self.taken,), watches[:1], strict=True):",
        "who waits does not hear of new entries",
        (LOCKING_QUEUE,),
    ),
    Mutation(
        "locking-queue-consumes-without-its-claim",
        f"{RECIPES}_claims.py",
        "                if patience.port.session_id != claim.node.session_id:\n"
        "                    return False\n"
        "                await commit(patience.port, [*steps, DeleteRequest(path, -1), *effects], self.markers)\n",
        "                await commit(patience.port, [DeleteRequest(path, -1), *effects], self.markers)\n",
        "an entry is consumed without a check that it is still claimed by us",
        (LOCKING_QUEUE,),
    ),
    Mutation(
        "work-queue-result-of-another",
        f"{RECIPES}work_queue.py",
        "                    return found == written\n",
        "                    return True\n",
        "somebody else's result is taken for one's own",
        (WORK_QUEUE,),
    ),
    Mutation(
        "work-queue-effect-apart",
        f"{RECIPES}_claims.py",
        "                await commit(patience.port, [*steps, DeleteRequest(path, -1), *effects], self.markers)\n",
        "                if effects:\n"
        "                    await commit(patience.port, effects, self.markers)\n"
        "                await commit(patience.port, [*steps, DeleteRequest(path, -1)], self.markers)\n",
        "the effects of a job are written before, and not with, the end of its claim",
        (WORK_QUEUE,),
    ),
    Mutation(
        "partitioner-does-not-wait-for-its-owner",
        f"{RECIPES}partitioner.py",
        "            while not self._released:\n                await self._rest()\n",
        "",
        "items are given up before their owner has said that work has stopped",
        (PARTITIONER,),
    ),
    Mutation(
        "double-barrier-one-too-few",
        f"{RECIPES}double_barrier.py",
        "elif len(there) - (READY in there) >= self._needed and",
        "elif len(there) - (READY in there) >= self._needed - 1 and",
        "a round begins with one member too few",
        (DOUBLE_BARRIER,),
    ),
    Mutation(
        "double-barrier-leaves-too-early",
        f"{RECIPES}double_barrier.py",
        "                if not there:\n                    return\n",
        "                if len(there) <= 1:\n                    return\n",
        "members leave while one is still inside",
        (DOUBLE_BARRIER,),
    ),
    Mutation(
        "barrier-no-watch",
        f"{RECIPES}barrier.py",
        "                    if await patience.port.exists(self._path, watch) is None:\n",
        "                    if await patience.port.exists(self._path) is None:\n",
        "who waits does not watch the barrier",
        (BARRIER,),
    ),
    Mutation(
        "data-watch-set-after-the-read",
        f"{RECIPES}watchers.py",
        "        return await self._port.get(self._path, watcher)\n",
        "        found = await self._port.get(self._path)\n"
        "        await self._port.exists(self._path, watcher)\n"
        "        return found\n",
        "the watch is set after the node was read",
        (DATA_WATCH,),
    ),
    Mutation(
        "children-watch-not-read-again",
        f"{RECIPES}watchers.py",
        "            self._try_again(self._pause)\n            self._pause = min(self._pause * 2, LONGEST_PAUSE)\n",
        "            self._watcher = None\n",
        "a read that failed for the moment is not tried again",
        (CHILDREN_WATCH,),
    ),
    Mutation(
        "cache-skips-what-it-missed",
        f"{RECIPES}_cache.py",
        "                    self._freshness.outdate()\n                    await self._resync(way)\n",
        "                    pass\n",
        "after a reconnect the cache does not look at what its watch could not tell",
        (CACHE,),
    ),
    Mutation(
        "cache-without-recursive-watches-gives-up",
        f"{RECIPES}_cache.py",
        "                    if self._is_single:\n",
        "                    if not self._is_single:\n",
        "a cache fails for good on a server that is too old for recursive watches",
        (CACHE,),
    ),
    Mutation(
        "cache-believes-the-stat-of-children",
        f"{RECIPES}_tree_watching.py",
        "        return looking and stat.num_children > 0 and stat.pzxid != known\n",
        "        return looking and stat.num_children > 0 and known is None\n",
        "children that were created while the connection was away are not looked for",
        (CACHE,),
    ),
    Mutation(
        "multilock-no-common-order",
        f"{RECIPES}multilock.py",
        "        ordered = sorted(set(paths))\n",
        "        ordered = list(dict.fromkeys(paths))\n",
        "several locks are taken in the order in which they were named",
        (MULTILOCK,),
    ),
    Mutation(
        "reentrant-count-forgotten",
        f"{RECIPES}reentrant.py",
        "        tenure.count += 1\n        return True\n",
        "        return True\n",
        "the second acquire of a worker is not counted, so that its first release gives the lock up",
        (REENTRANT,),
    ),
    Mutation(
        "durable-lease-believed-after-its-end",
        f"{RECIPES}durable_lease.py",
        "        return begun + self._duration * (1 - 1 / DRIFT)\n",
        "        return begun + self._duration * 2\n",
        "a lease is believed longer than the server keeps its node",
        (DURABLE_LEASE,),
    ),
    Mutation(
        "durable-lease-counted-from-the-reply",
        f"{RECIPES}durable_lease.py",
        "        claim.until = self._end(begun)\n",
        "        claim.until = self._end(port.now())\n",
        "a renewed lease is counted from the reply, however long that lay unread",
        (
            f"{TESTS}test_durable_lease.py::test_a_durable_lease_is_counted_from_the_sending_however_late_the_reply_is_read",
        ),
    ),
    Mutation(
        "non-blocking-lease-believed-after-its-end",
        f"{RECIPES}non_blocking_lease.py",
        "        self._obtained = end is not None and self._utcnow() < end\n",
        "        self._obtained = end is not None\n",
        "a claim is said to hold whose answer took longer than that",
        (NON_BLOCKING_LEASE,),
    ),
)


def shown(name: str) -> tuple[str, ...]:
    """The schedule that a search has found the fault with."""
    return (f"{TESTS}test_named_seeds.py::test_a_schedule_that_has_shown_a_fault_of_ours_shows_none[{name}]",)


# Faults that were ours once, and that a search has found.
ONCE_OURS = (
    Mutation(
        "queue-doubt-told-to-nobody",
        f"{RECIPES}queue.py",
        "            elif taking.doubt:\n",
        "            elif taking.doubt and taking.taken:\n",
        "an entry that a cancelled get may have taken is named by nobody",
        shown("queue-doubt-told-to-nobody"),
    ),
    Mutation(
        "double-barrier-counts-a-member-twice",
        f"{RECIPES}double_barrier.py",
        "        for leftover in sorted(self._leftovers):\n",
        "        for leftover in sorted(self._leftovers)[:0]:\n",
        "who gave up and comes again is counted with the node it left behind",
        shown("double-barrier-counts-a-member-twice"),
    ),
    Mutation(
        "lost-write-looked-up-for-too-short-a-time",
        f"{CLIENT}_session/core.py",
        "        return lost.since + self.timers.timeout if lost.interruptions >= MOST_INTERRUPTIONS else None\n",
        "        return lost.since + self.timers.timeout\n",
        "a lost write is called unknown while its session may be resumed",
        shown("lost-write-looked-up-for-too-short-a-time"),
    ),
    Mutation(
        "lost-write-looked-up-too-seldom",
        f"{CLIENT}_session/machine.py",
        "MOST_INTERRUPTIONS = 10\n",
        "MOST_INTERRUPTIONS = 4\n",
        "a lost write is called unknown after four connections that end in the middle of the questions",
        shown("lost-write-looked-up-too-seldom"),
    ),
    Mutation(
        "lost-create-below-an-exhausted-parent",
        f"{CLIENT}_session/recovery.py",
        " and (stat.cversion + stat.num_children) % 2**32 != EXHAUSTED\n",
        "\n",
        "a parent whose numbers are exhausted, and whose pzxid stands still, is believed to have no new child",
        shown("lost-create-below-an-exhausted-parent"),
    ),
    Mutation(
        "semaphore-forgets-its-second-watch",
        f"{RECIPES}semaphore.py",
        "                    await port.shielded(_close_all(watches))\n",
        "                    for watch in watches:\n"
        "                        await port.shielded(_close_all((watch,)))\n",
        "a waiter that is cancelled again while it closes one watch leaves the other behind",
        shown("semaphore-forgets-its-second-watch"),
    ),
)

MUTATIONS = (*IN_THE_CLIENT, *IN_THE_RECIPES, *ONCE_OURS)
