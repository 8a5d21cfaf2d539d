/**
 * @file AuraEdgeSensorTime.c
 * @brief Time and losses. See AuraEdgeSensorTime.h.
 *
 * A sample that waits in the FIFO was taken at or before the moment of reading, and the next one is not there yet: so the
 * newest was taken within the last interval. Each look, also one that takes nothing, narrows where on this clock the samples lie;
 * the interval is measured over thousands of samples. A hole is as many samples as fit between the last one read and the first one
 * after it on this clock, so that sequence numbers and time agree for good.
 */

#include "AuraEdgeSensorTime.h"

#define GRACE (32u)              /* of an interval */
#define SETTLED (64u)            /* samples after a start or hole, from which the interval can be learned */
#define FIRST_LESSON (64u)       /* samples */
#define LAST_LESSON (8192u)      /* samples */
#define DOUBT_PER_SAMPLE (4096u) /* one interval of doubt in so many samples: 244 ppm */

void AuraEdgeSensorTimeStart(AuraEdgeSensor *sensor) {
    const uint32_t nominal_ns = (uint32_t)((1e9f / sensor->in_force.rate_hz) + 0.5f);
    if (nominal_ns != sensor->nominal_ns) {
        sensor->nominal_ns = nominal_ns;
        sensor->interval_ns = nominal_ns;
        sensor->learned_from = 0u;
        sensor->anchored = false;
    }
}

/* Learns the interval from ever more samples, as long as none is missing; a short stretch never replaces a long one. */
static void LearnInterval(AuraEdgeSensor *sensor, int64_t newest_ns, uint16_t waiting) {
    const int64_t nominal_ns = (int64_t)sensor->nominal_ns;
    const uint32_t samples = sensor->since_anchor + waiting;
    int64_t interval_ns;
    if (!sensor->anchored) {
        if (sensor->since_hole >= SETTLED) {
            sensor->anchored = true;
            sensor->anchor_ns = newest_ns;
            sensor->since_anchor = 0u - (uint32_t)waiting; /* these will be counted on once more; int may have 16 bits */
            sensor->next_lesson = FIRST_LESSON;
        }
        return;
    }
    if ((samples < sensor->next_lesson) || (samples > (UINT32_MAX / 2u))) { /* or fewer than none: what waited were no samples */
        return;
    }
    if (samples >= (sensor->learned_from / 2u)) {
        interval_ns = (newest_ns - sensor->anchor_ns) / (int64_t)samples;
        interval_ns = (interval_ns > (nominal_ns + (nominal_ns / 16))) ? (nominal_ns + (nominal_ns / 16)) : interval_ns;
        interval_ns = (interval_ns < (nominal_ns - (nominal_ns / 16))) ? (nominal_ns - (nominal_ns / 16)) : interval_ns;
        sensor->interval_ns = (uint32_t)interval_ns;
        sensor->learned_from = samples;
    }
    sensor->next_lesson = samples * 2u;
    sensor->anchored = (samples < LAST_LESSON); /* then once more from here, as it drifts with temperature */
}

/* Narrows where the newest of `waiting` samples can lie: within the interval before now. */
static void FollowClock(AuraEdgeSensor *sensor, uint64_t now_ns, uint16_t waiting) {
    const int64_t interval_ns = (int64_t)sensor->interval_ns;
    const int64_t newest_ns = (int64_t)sensor->newest_ns + ((int64_t)waiting * interval_ns);
    const int64_t grace_ns = interval_ns / (int64_t)GRACE;
    const int64_t latest_ns = (int64_t)now_ns + grace_ns; /* the count is read a little after now */
    const int64_t earliest_ns = (int64_t)now_ns - interval_ns;
    int64_t low_ns = newest_ns - (int64_t)sensor->doubt_ns;
    int64_t high_ns = newest_ns + (int64_t)sensor->doubt_ns;
    int64_t first_ns;
    if (low_ns > latest_ns) {
        low_ns = latest_ns - (2 * grace_ns);
    } else if (high_ns < earliest_ns) {
        high_ns = earliest_ns + (2 * grace_ns);
    }
    low_ns = (low_ns < earliest_ns) ? earliest_ns : low_ns;
    high_ns = (high_ns > latest_ns) ? latest_ns : high_ns;
    LearnInterval(sensor, (low_ns + high_ns) / 2, waiting);
    first_ns = ((low_ns + high_ns) / 2) - ((int64_t)waiting * (int64_t)sensor->interval_ns);
    sensor->newest_ns = (first_ns > 0) ? (uint64_t)first_ns : 0u; /* the board's clock may just have begun */
    sensor->doubt_ns = (uint32_t)((high_ns - low_ns) / 2);
}

void AuraEdgeSensorTimeCountOn(AuraEdgeSensor *sensor, uint32_t samples) {
    const uint32_t most_ns = sensor->interval_ns / 2u;
    const uint64_t doubt_ns = sensor->doubt_ns + (((uint64_t)samples * sensor->interval_ns) / DOUBT_PER_SAMPLE);
    sensor->newest_ns += (uint64_t)samples * sensor->interval_ns;
    sensor->doubt_ns = (doubt_ns < most_ns) ? (uint32_t)doubt_ns : most_ns;
    sensor->since_hole += samples;
    sensor->since_anchor += samples;
}

void AuraEdgeSensorTimePlace(AuraEdgeSensor *sensor, uint64_t now_ns, uint16_t waiting) {
    const uint64_t back_ns = ((uint64_t)waiting * sensor->interval_ns) + (sensor->interval_ns / 2u);
    uint32_t missing = sensor->skipped;
    sensor->skipped = 0u;
    if (!sensor->timed) {
        sensor->newest_ns = (now_ns > back_ns) ? (now_ns - back_ns) : 0u;
        sensor->doubt_ns = sensor->interval_ns / 2u;
        sensor->timed = true;
        sensor->since_hole = 0u;
    } else if (sensor->hole) {
        const uint64_t elapsed_ns = (now_ns > sensor->newest_ns) ? (now_ns - sensor->newest_ns + (sensor->interval_ns / GRACE)) : 0u;
        const uint32_t made = (uint32_t)(elapsed_ns / sensor->interval_ns);
        missing = (made > waiting) ? (made - waiting) : 0u;
    }
    AuraEdgeSensorTimeCountOn(sensor, missing);
    sensor->lost += missing;
    if (sensor->hole || (missing > 0u)) {
        sensor->since_hole = 0u;
        sensor->anchored = false; /* across it the count follows from the interval, and says nothing about it */
    }
    sensor->hole = false;
    FollowClock(sensor, now_ns, waiting);
}
