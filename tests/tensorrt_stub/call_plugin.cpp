// Calls the plugin as TensorRT would: finds its creator, asks it for shapes, types and formats, and runs it. Prints nothing when all is well.
#include <NvInfer.h>

#include <cstdio>
#include <cstring>

namespace nvinfer1 {  // only ever passed through
class IDimensionExpr {};
class IExprBuilder {};
}  // namespace nvinfer1

using namespace nvinfer1;

extern "C" IPluginCreatorInterface* const* getCreators(int32_t& count);

static int32_t launched[4];
static const void* sources[2];
static cudaStream_t on;
extern "C" int aura_launch_fused_mha(const void* qkv, void* out, int32_t batch, int32_t tokens, int32_t heads, int32_t head, cudaStream_t stream) {
    const int32_t sizes[4] = {batch, tokens, heads, head};
    std::memcpy(launched, sizes, sizeof sizes);
    sources[0] = qkv, sources[1] = out, on = stream;
    return 0;
}

static int failures = 0;
#define CHECK(condition) ((condition) ? void() : (void)(std::printf("line %d: %s\n", __LINE__, #condition), failures++))

static DynamicPluginTensorDesc tensor(int64_t tokens, int64_t parts, int64_t head, DataType type = DataType::kHALF) {
    const Dims dims = {5, {2, tokens, parts, 6, head, 0, 0, 0}};
    return {{dims, type, TensorFormat::kLINEAR, 1.f}, dims, dims, dims};
}

int main() {
    int32_t count = 0;
    auto* creator = static_cast<IPluginCreatorV3One*>(getCreators(count)[0]);
    CHECK(count == 1 && creator->getFieldNames()->nbFields == 0);
    CHECK(!std::strcmp(creator->getPluginName(), "FusedMHA") && !std::strcmp(creator->getPluginVersion(), "1"));
    CHECK(!std::strcmp(creator->getPluginNamespace(), "aura"));
    IPluginV3* plugin = creator->createPlugin("attention", nullptr, TensorRTPhase::kBUILD);
    auto* core = dynamic_cast<IPluginV3OneCore*>(plugin->getCapabilityInterface(PluginCapabilityType::kCORE));
    auto* build = dynamic_cast<IPluginV3OneBuild*>(plugin->getCapabilityInterface(PluginCapabilityType::kBUILD));
    auto* runtime = dynamic_cast<IPluginV3OneRuntime*>(plugin->getCapabilityInterface(PluginCapabilityType::kRUNTIME));
    CHECK(core && build && runtime && !std::strcmp(core->getPluginName(), "FusedMHA"));

    const IDimensionExpr sizes[5] = {};
    const DimsExprs in = {5, {sizes, sizes + 1, sizes + 2, sizes + 3, sizes + 4, nullptr, nullptr, nullptr}};
    DimsExprs out = {};
    IExprBuilder builder;
    CHECK(build->getOutputShapes(&in, 1, nullptr, 0, &out, 1, builder) == 0);
    CHECK(out.nbDims == 4 && out.d[0] == sizes && out.d[1] == sizes + 1 && out.d[2] == sizes + 3 && out.d[3] == sizes + 4);
    const DimsExprs flat = {3, {}};
    CHECK(build->getOutputShapes(&flat, 1, nullptr, 0, &out, 1, builder) != 0);
    DataType type = DataType::kHALF, found = DataType::kFLOAT;
    CHECK(build->getNbOutputs() == 1 && build->getOutputDataTypes(&found, 1, &type, 1) == 0 && found == DataType::kHALF);

    DynamicPluginTensorDesc tensors[2] = {tensor(126, 3, 32), tensor(126, 3, 32, DataType::kFLOAT)};
    CHECK(build->supportsFormatCombination(0, tensors, 1, 1) && !build->supportsFormatCombination(1, tensors, 1, 1));
    tensors[0].desc.format = TensorFormat::kCHW2;
    CHECK(!build->supportsFormatCombination(0, tensors, 1, 1));

    const DynamicPluginTensorDesc right[] = {tensor(1, 3, 32), tensor(256, 3, 64)};
    const DynamicPluginTensorDesc wrong[] = {tensor(257, 3, 32), tensor(126, 2, 32), tensor(126, 3, 48)};
    for (const auto& each : right) CHECK(!build->configurePlugin(&each, 1, nullptr, 1) && !runtime->onShapeChange(&each.desc, 1, nullptr, 1));
    for (const auto& each : wrong) CHECK(build->configurePlugin(&each, 1, nullptr, 1) && runtime->onShapeChange(&each.desc, 1, nullptr, 1));

    auto* attached = runtime->attachToContext(nullptr);
    auto* own = dynamic_cast<IPluginV3OneRuntime*>(attached->getCapabilityInterface(PluginCapabilityType::kRUNTIME));
    CHECK(attached != plugin && own && own->getFieldsToSerialize()->nbFields == 0);
    const PluginTensorDesc given = tensor(126, 3, 32).desc;
    const void* from[] = {&given};
    void* to[] = {&out};
    auto* stream = reinterpret_cast<cudaStream_t>(&type);
    CHECK(own->enqueue(&given, nullptr, from, to, nullptr, stream) == 0);
    CHECK(launched[0] == 2 && launched[1] == 126 && launched[2] == 6 && launched[3] == 32);
    CHECK(sources[0] == &given && sources[1] == &out && on == stream);
    delete attached;
    delete plugin;
    return failures;
}
