// Package traffic counts what a sample of queries is about, in bounded memory: names, types, client networks, and how much
// each client network asks of each service.
//
// Counts are of the last one to two windows of time, so that what is over is forgotten. Where there are more keys than a
// [Summary] holds, those that ask most are found, and sums over any part of the keys are right on average, which is what a
// replay of them needs.
package traffic
