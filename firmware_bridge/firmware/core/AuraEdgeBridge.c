/**
 * @file AuraEdgeBridge.c
 * @brief What the bridge starts with, and what it does when time passes.
 */

//------------------------------------------------------------------------------
// Includes

#include "AuraEdgeBridge.h"
#include <string.h>

//------------------------------------------------------------------------------
// Definitions

#define GRAVITY_M_S2 (9.80665f)
#define FULL_SCALE_COUNTS (32768.0f)
#define RANGE_M_S2 (8.0f * GRAVITY_M_S2)
#define RANGE_RAD_S (34.906585f)

//------------------------------------------------------------------------------
// Variables

const AuraEdgeBridgeSettings auraEdgeBridgeDefaultSettings = {
    .device_id = NULL,
    .firmware = NULL,
    .sensor = NULL,
    .boot = 0u,
    .clock_hz = 0.0f, // Hz
    .scale =
        {
            .rate_hz = 200.0f,                                       // Hz
            .acc_m_s2_per_count = RANGE_M_S2 / FULL_SCALE_COUNTS,    // m/s2
            .gyro_rad_s_per_count = RANGE_RAD_S / FULL_SCALE_COUNTS, // rad/s
            .acc_range_m_s2 = RANGE_M_S2,                            // m/s2
            .gyro_range_rad_s = RANGE_RAD_S,                         // rad/s
        },
    .axes = {1, 2, 3},
    .samples_per_message = 10u,
    .fields = AURA_EDGE_ALL_FIELDS,
    .acc_end_counts = 32767u,  // counts
    .gyro_end_counts = 32767u, // counts
    .gravity_included = true,
    .estimated_time = false,
    .streaming_from_start = false,
    .configure = NULL,
    .stream = NULL,
    .context = NULL,
};

//------------------------------------------------------------------------------
// Functions

/**
 * @brief Initialises the bridge. A zero goes first, so that what a boot loader printed does not cost the first frame.
 */
void AuraEdgeBridgeInitialise(AuraEdgeBridge *const bridge, const AuraEdgeBridgeSettings *const settings) {
    memset(bridge, 0, sizeof(*bridge));
    bridge->settings = *settings;
    bridge->scale = settings->scale;
    AuraEdgeReceiverInitialise(&bridge->receiver);
    AuraEdgeRingInitialise(&bridge->ring, settings->samples_per_message);
    bridge->settings.samples_per_message = bridge->ring.samples_per_batch;
    bridge->settings.fields = settings->fields & AURA_EDGE_ALL_FIELDS;
    bridge->frame.bytes[0] = 0u;
    bridge->frame.length = 1u;
    bridge->streaming = settings->streaming_from_start;
    bridge->hello_due = true;
    bridge->next_status_us = AURA_EDGE_SECOND_US;
}

/**
 * @brief True between START and STOP.
 */
bool AuraEdgeBridgeStreaming(const AuraEdgeBridge *const bridge) {
    return bridge->streaming;
}

/**
 * @brief Does what is due by time.
 */
void AuraEdgeBridgeUpdate(AuraEdgeBridge *const bridge, const uint64_t now_us) {
    if (!bridge->host_answered && now_us >= bridge->next_hello_us) {
        bridge->hello_due = true; // SendHello says when the next one is
    }
    if (bridge->streaming && now_us >= bridge->next_status_us) {
        bridge->status_due = true;
        bridge->next_status_us += AURA_EDGE_SECOND_US;
        if (bridge->next_status_us <= now_us) {
            bridge->next_status_us = now_us + AURA_EDGE_SECOND_US;
        }
    }
    if (bridge->ring.open && now_us > bridge->last_sample_us + AURA_EDGE_SECOND_US) {
        AuraEdgeRingClose(&bridge->ring); // the sensor has fallen silent: do not keep what it gave before
    }
}

//------------------------------------------------------------------------------
// End of file
