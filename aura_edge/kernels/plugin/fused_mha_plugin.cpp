// aura::FusedMHA for TensorRT 10 and later: an IPluginV3 around rung 2. No fields: the shape (B, N, 3, H, d) of its input says everything.
//
// Build it with CMakeLists.txt beside this file; load it with --setPluginsToSerialize or --dynamicPlugins of trtexec, or with
// IPluginRegistry::loadLibrary. TensorRT finds creators through getCreators, which such a library exports.
#include <NvInfer.h>

#include <new>

#include "fused_mha_launch.h"

namespace {

using namespace nvinfer1;

constexpr char const* NAME = "FusedMHA";
constexpr char const* VERSION = "1";
constexpr char const* NAMESPACE = "aura";
constexpr int64_t MAX_TOKENS = 256;  // up to here the kernel is proven

enum Status : int32_t { DONE = 0, REFUSED = 1 };

// Whether the kernel takes (B, N, 3, H, d). Sizes that are not known yet are -1.
bool takes(Dims const& dims) noexcept {
    return dims.nbDims == 5 && dims.d[1] <= MAX_TOKENS && dims.d[2] == 3 && (dims.d[4] == 32 || dims.d[4] == 64);
}

class FusedMha final : public IPluginV3, public IPluginV3OneCore, public IPluginV3OneBuild, public IPluginV3OneRuntime {
   public:
    IPluginCapability* getCapabilityInterface(PluginCapabilityType type) noexcept override {
        switch (type) {
            case PluginCapabilityType::kCORE: return static_cast<IPluginV3OneCore*>(this);
            case PluginCapabilityType::kBUILD: return static_cast<IPluginV3OneBuild*>(this);
            case PluginCapabilityType::kRUNTIME: return static_cast<IPluginV3OneRuntime*>(this);
        }
        return nullptr;
    }
    IPluginV3* clone() noexcept override { return new (std::nothrow) FusedMha; }

    char const* getPluginName() const noexcept override { return NAME; }
    char const* getPluginVersion() const noexcept override { return VERSION; }
    char const* getPluginNamespace() const noexcept override { return NAMESPACE; }

    int32_t getNbOutputs() const noexcept override { return 1; }
    int32_t getOutputDataTypes(DataType* outputs, int32_t, DataType const* inputs, int32_t) const noexcept override {
        outputs[0] = inputs[0];
        return DONE;
    }
    int32_t getOutputShapes(DimsExprs const* inputs, int32_t count, DimsExprs const*, int32_t, DimsExprs* outputs, int32_t,
                            IExprBuilder&) noexcept override {
        if (count != 1 || inputs[0].nbDims != 5) return REFUSED;
        outputs[0].nbDims = 4;
        outputs[0].d[0] = inputs[0].d[0];
        outputs[0].d[1] = inputs[0].d[1];
        outputs[0].d[2] = inputs[0].d[3];
        outputs[0].d[3] = inputs[0].d[4];
        return DONE;
    }
    bool supportsFormatCombination(int32_t place, DynamicPluginTensorDesc const* tensors, int32_t, int32_t) noexcept override {
        return tensors[place].desc.type == DataType::kHALF && tensors[place].desc.format == TensorFormat::kLINEAR;
    }
    // The largest shape of the optimisation profile decides.
    int32_t configurePlugin(DynamicPluginTensorDesc const* inputs, int32_t count, DynamicPluginTensorDesc const*, int32_t) noexcept override {
        return count == 1 && takes(inputs[0].max) ? DONE : REFUSED;
    }
    int32_t onShapeChange(PluginTensorDesc const* inputs, int32_t count, PluginTensorDesc const*, int32_t) noexcept override {
        return count == 1 && takes(inputs[0].dims) ? DONE : REFUSED;
    }
    int32_t enqueue(PluginTensorDesc const* inputs, PluginTensorDesc const*, void const* const* from, void* const* to, void*,
                    cudaStream_t stream) noexcept override {
        Dims const& dims = inputs[0].dims;
        return aura_launch_fused_mha(from[0], to[0], static_cast<int32_t>(dims.d[0]), static_cast<int32_t>(dims.d[1]), static_cast<int32_t>(dims.d[3]),
                                     static_cast<int32_t>(dims.d[4]), stream);
    }
    IPluginV3* attachToContext(IPluginResourceContext*) noexcept override { return clone(); }
    PluginFieldCollection const* getFieldsToSerialize() noexcept override { return &no_fields_; }

   private:
    PluginFieldCollection no_fields_{};
};

class FusedMhaCreator final : public IPluginCreatorV3One {
   public:
    char const* getPluginName() const noexcept override { return NAME; }
    char const* getPluginVersion() const noexcept override { return VERSION; }
    char const* getPluginNamespace() const noexcept override { return NAMESPACE; }
    PluginFieldCollection const* getFieldNames() noexcept override { return &no_fields_; }
    IPluginV3* createPlugin(char const*, PluginFieldCollection const*, TensorRTPhase) noexcept override { return new (std::nothrow) FusedMha; }

   private:
    PluginFieldCollection no_fields_{};
};

}  // namespace

// What IPluginRegistry::loadLibrary looks for.
extern "C" __attribute__((visibility("default"))) IPluginCreatorInterface* const* getCreators(int32_t& count) {
    static FusedMhaCreator creator;
    static IPluginCreatorInterface* const creators[] = {&creator};
    count = 1;
    return creators;
}
extern "C" __attribute__((visibility("default"))) void setLoggerFinder(ILoggerFinder*) {}
