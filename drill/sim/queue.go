package sim

import "time"

// kind says what an event is.
type kind uint8

const (
	evProbe   kind = iota // an observer's tick: a is the target
	evResult              // a probe ends: a is the target
	evWitness             // a round of asking witnesses begins
	evWitnessed
	evPass   // the owner's ticker
	evGossip // a round of gossip
	evNear   // anti-entropy with a node of the same datacenter
	evForeign
	evRejoin
	evMessage // something arrives: x is a message
	evDecide  // the owner folds what has come
	evDisk    // a write reaches its next stage: a is the stage, x the write
	evResume  // a paused process goes on
	evBegin   // fault a begins
	evEnd     // fault a ends
	evQuery   // client a asks
	evCheck   // the checker looks at the whole world
)

// event is something that happens at a time. Events of one time happen in the order in which they were made.
type event struct {
	at   time.Duration
	seq  uint64
	kind kind
	boot uint32        // of the node: an event of an earlier boot is void
	node int32         // -1: of the world
	a    int32         // depends on kind
	due  time.Duration // when it was to happen, where a pause may have moved it
	x    any
}

func (e *event) before(f *event) bool { return e.at < f.at || e.at == f.at && e.seq < f.seq }

// queue is a heap of four children per place: half as deep as a binary one, and its children share cache lines.
type queue struct {
	heap []event
	seq  uint64
}

func (q *queue) push(e event) {
	q.seq++
	e.seq = q.seq
	q.heap = append(q.heap, e)
	i := len(q.heap) - 1
	for i > 0 {
		up := (i - 1) / 4
		if !e.before(&q.heap[up]) {
			break
		}
		q.heap[i] = q.heap[up]
		i = up
	}
	q.heap[i] = e
}

func (q *queue) pop() event {
	top := q.heap[0]
	last := len(q.heap) - 1
	e := q.heap[last]
	q.heap[last] = event{}
	q.heap = q.heap[:last]
	if last == 0 {
		return top
	}
	i := 0
	for {
		least := 4*i + 1
		if least >= last {
			break
		}
		for c := least + 1; c < min(4*i+5, last); c++ {
			if q.heap[c].before(&q.heap[least]) {
				least = c
			}
		}
		if !q.heap[least].before(&e) {
			break
		}
		q.heap[i] = q.heap[least]
		i = least
	}
	q.heap[i] = e
	return top
}
