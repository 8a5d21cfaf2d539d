// Sizes of one encoder and how they are divided, as compile-time constants: `plan.py` defines the macros, for every encoder anew.
//
// A block has eight warps. Warp w owns columns [w, w + 1) * WIDTH / 8 of every token of the block and keeps them in registers, in FP32, from the
// stem to the projection; shared memory holds only what other warps must see. A window is divided among BLOCKS blocks of a cluster by tokens.
#pragma once

#ifdef __CUDACC__
#define AURA_CONSTEXPR __host__ __device__ constexpr
#else
#define AURA_CONSTEXPR constexpr
#endif

namespace aura {

constexpr int THREADS = 256, WARPS = 8, CHANNELS = 6, INVARIANTS = 10, SEGMENTS = 5, GATES = 4, REFERENCES = SEGMENTS + GATES;

constexpr int SAMPLES = AURA_SAMPLES, WIDTH = AURA_WIDTH, DEPTH = AURA_DEPTH, HEADS = AURA_HEADS, HEAD = WIDTH / HEADS, HIDDEN = AURA_HIDDEN;
constexpr int DIMENSION = AURA_DIMENSION, STRIDE = AURA_STRIDE, PATCH = AURA_PATCH, PADDING = (PATCH - STRIDE) / 2;
constexpr int INVARIANT_FILTERS = AURA_INVARIANT_FILTERS, VECTOR_FILTERS = AURA_VECTOR_FILTERS, CHANNEL_FILTERS = AURA_CHANNEL_FILTERS;
constexpr int POOLS = AURA_POOLS, FEATURES = WIDTH * (1 + POOLS), VECTOR_FEATURES = VECTOR_FILTERS * (3 + REFERENCES);
constexpr bool PLAIN = AURA_PLAIN, SUMMARY = AURA_SUMMARY, RESIDUAL = AURA_RESIDUAL;
constexpr int TOKENS = AURA_TOKENS;  // the summary token with them

constexpr int BLOCKS = AURA_BLOCKS;                // of a cluster: they share one window
constexpr int ALL_ROWS = AURA_ROWS;                // TOKENS, filled up to whole tiles in every block
constexpr int ROWS = ALL_ROWS / BLOCKS;            // of this block
constexpr int ROW_TILES = ROWS / 16;               // of 16 rows, as mma takes them
constexpr int COLUMN_TILES = WIDTH / (8 * WARPS);  // of 8 columns, for one warp
constexpr int PASS_HEADS = AURA_PASS_HEADS;        // heads whose queries, keys and values are in shared memory at a time
constexpr int PASS_WIDTH = PASS_HEADS * HEAD;
constexpr int PASS_HIDDEN = AURA_PASS_HIDDEN;      // columns of the feed-forward half that are in shared memory at a time
constexpr float NORM_EPSILON = 1e-5f;

static_assert(ALL_ROWS % (16 * BLOCKS) == 0 && ALL_ROWS >= TOKENS, "rows");
static_assert(WIDTH % (8 * WARPS) == 0 && (HEAD == 32 || HEAD == 64), "width");
static_assert(HEADS % PASS_HEADS == 0 && HIDDEN % PASS_HIDDEN == 0 && PASS_HIDDEN % (8 * WARPS) == 0, "passes");

// Rows lie an odd number of 16-byte chunks apart, so that eight of them never meet in one bank.
AURA_CONSTEXPR int pitch(int columns) { return columns + 8; }
AURA_CONSTEXPR int larger(int a, int b) { return a > b ? a : b; }
AURA_CONSTEXPR int aligned(int bytes) { return (bytes + 127) / 128 * 128; }

// Shared memory, in bytes: statistics, then what the stem or the blocks need.
constexpr int STATISTICS_BYTES = aligned(ROWS * (WARPS + 1) * 8);
constexpr int NORMED_BYTES = aligned(ROWS * pitch(WIDTH) * 2);
constexpr int QUERY_BYTES = aligned(ROWS * pitch(PASS_WIDTH) * 2), KEY_BYTES = aligned(ALL_ROWS * pitch(PASS_WIDTH) * 2);
constexpr int HIDDEN_BYTES = aligned(ROWS * pitch(PASS_HIDDEN) * 2);
// A cluster's blocks write into each other's keys and values while a slow one is still in its feed-forward half: there nothing else lies there.
constexpr int HIDDEN_AT = BLOCKS == 1 ? NORMED_BYTES : NORMED_BYTES + QUERY_BYTES + 2 * KEY_BYTES;
constexpr int LAYERS_BYTES = larger(NORMED_BYTES + QUERY_BYTES + 2 * KEY_BYTES, HIDDEN_AT + HIDDEN_BYTES);

constexpr int SLOTS = (ROWS - 1) * STRIDE + PATCH, ALL_SLOTS = (ALL_ROWS - 1) * STRIDE + PATCH;  // samples that patches of the rows see
// Halves from one row of patches to the next: an odd number of 16-byte chunks where patches do not overlap, and mostly where they do.
AURA_CONSTEXPR int stride_halves(int channels) { return STRIDE * channels + (PATCH == STRIDE && STRIDE * channels / 8 % 2 == 0 ? 8 : 0); }
AURA_CONSTEXPR int signal_bytes(int channels) { return aligned((SLOTS / STRIDE + 1) * stride_halves(channels) * 2); }
AURA_CONSTEXPR int filtered_bytes(int channels, int filters) { return filters ? signal_bytes(channels) + aligned(ROWS * pitch(filters) * 2) : 0; }
constexpr int AXES_BYTES = VECTOR_FILTERS ? aligned(3 * ALL_SLOTS * 2 * 2) : 0;
constexpr int STRIP_BYTES = aligned(16 * pitch(VECTOR_FEATURES) * 2), PARTNER_BYTES = aligned(16 * VECTOR_FILTERS * 4);
constexpr int VECTORS_BYTES = aligned(3 * ALL_ROWS * (VECTOR_FILTERS + 1) * 4), HALF_VECTORS_BYTES = aligned(3 * ROWS * pitch(VECTOR_FILTERS) * 2);
constexpr int VECTOR_STEM_BYTES =
    VECTOR_FILTERS ? larger(AXES_BYTES, STRIP_BYTES + PARTNER_BYTES) + VECTORS_BYTES + HALF_VECTORS_BYTES : 0;
constexpr int PLAIN_BYTES = PLAIN ? signal_bytes(CHANNELS) : 0;
constexpr int STEM_BYTES = larger(larger(filtered_bytes(INVARIANTS, INVARIANT_FILTERS), filtered_bytes(CHANNELS, CHANNEL_FILTERS)),
                                  larger(VECTOR_STEM_BYTES, PLAIN_BYTES));

constexpr int OUTPUTS = (DIMENSION + BLOCKS - 1) / BLOCKS;                         // of the projection, for this block
constexpr int SHARES = OUTPUTS > THREADS / 2 ? 1 : OUTPUTS > THREADS / 4 ? 2 : 4;  // threads for one of them
constexpr int LOGITS = POOLS ? POOLS : 1;
constexpr int HEAD_FLOATS = (BLOCKS + 1) * FEATURES + (ALL_ROWS + ROWS * WARPS) * LOGITS + SHARES * OUTPUTS + WARPS + BLOCKS;
constexpr int FRAME_FLOATS = 3 * SEGMENTS + 3 * REFERENCES + WARPS * 3 * GATES + 3;  // what the stem knows of the whole window

constexpr int WORK_BYTES = larger(larger(LAYERS_BYTES, STEM_BYTES), aligned(HEAD_FLOATS * 4));
constexpr int FRAME_BYTES = aligned(FRAME_FLOATS * 4);
constexpr int SHARED_BYTES = STATISTICS_BYTES + FRAME_BYTES + WORK_BYTES;
static_assert(SHARED_BYTES == AURA_SHARED_BYTES, "plan.py counts shared memory otherwise");

}  // namespace aura
