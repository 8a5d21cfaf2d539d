// NOT TensorRT: a stand-in for tests, written from its public documentation, with the declarations that our plugin uses and no others.
// It shows that the plugin is C++ and does what it should when it is called; not that NVIDIA's headers accept it.
#pragma once
#include <cstddef>
#include <cstdint>

typedef struct CUstream_st* cudaStream_t;

namespace nvinfer1 {

enum class DataType : int32_t { kFLOAT = 0, kHALF = 1 };
enum class TensorFormat : int32_t { kLINEAR = 0, kCHW2 = 1 };
enum class PluginCapabilityType : int32_t { kCORE = 0, kBUILD = 1, kRUNTIME = 2 };
enum class TensorRTPhase : int32_t { kBUILD = 0, kRUNTIME = 1 };

struct Dims {
    int32_t nbDims;
    int64_t d[8];
};
class IDimensionExpr;
class IExprBuilder;
struct DimsExprs {
    int32_t nbDims;
    IDimensionExpr const* d[8];
};
struct PluginTensorDesc {
    Dims dims;
    DataType type;
    TensorFormat format;
    float scale;
};
struct DynamicPluginTensorDesc {
    PluginTensorDesc desc;
    Dims min, max, opt;
};
struct PluginField;
struct PluginFieldCollection {
    int32_t nbFields;
    PluginField const* fields;
};
class ILoggerFinder;
class IPluginResourceContext;

class IVersionedInterface {
   public:
    virtual ~IVersionedInterface() noexcept = default;
};
class IPluginCapability : public IVersionedInterface {};

class IPluginV3 : public IVersionedInterface {
   public:
    virtual IPluginCapability* getCapabilityInterface(PluginCapabilityType type) noexcept = 0;
    virtual IPluginV3* clone() noexcept = 0;
};
class IPluginV3OneCore : public IPluginCapability {
   public:
    virtual char const* getPluginName() const noexcept = 0;
    virtual char const* getPluginVersion() const noexcept = 0;
    virtual char const* getPluginNamespace() const noexcept = 0;
};
class IPluginV3OneBuild : public IPluginCapability {
   public:
    virtual int32_t configurePlugin(DynamicPluginTensorDesc const* in, int32_t inputs, DynamicPluginTensorDesc const* out, int32_t outputs) noexcept = 0;
    virtual int32_t getOutputDataTypes(DataType* out, int32_t outputs, DataType const* in, int32_t inputs) const noexcept = 0;
    virtual int32_t getOutputShapes(DimsExprs const* in, int32_t inputs, DimsExprs const* shapes, int32_t shape_inputs, DimsExprs* out, int32_t outputs,
                                    IExprBuilder& builder) noexcept = 0;
    virtual bool supportsFormatCombination(int32_t place, DynamicPluginTensorDesc const* tensors, int32_t inputs, int32_t outputs) noexcept = 0;
    virtual int32_t getNbOutputs() const noexcept = 0;
};
class IPluginV3OneRuntime : public IPluginCapability {
   public:
    virtual int32_t onShapeChange(PluginTensorDesc const* in, int32_t inputs, PluginTensorDesc const* out, int32_t outputs) noexcept = 0;
    virtual int32_t enqueue(PluginTensorDesc const* in, PluginTensorDesc const* out, void const* const* from, void* const* to, void* workspace,
                            cudaStream_t stream) noexcept = 0;
    virtual IPluginV3* attachToContext(IPluginResourceContext* context) noexcept = 0;
    virtual PluginFieldCollection const* getFieldsToSerialize() noexcept = 0;
};
class IPluginCreatorInterface : public IVersionedInterface {};
class IPluginCreatorV3One : public IPluginCreatorInterface {
   public:
    virtual IPluginV3* createPlugin(char const* name, PluginFieldCollection const* fields, TensorRTPhase phase) noexcept = 0;
    virtual PluginFieldCollection const* getFieldNames() noexcept = 0;
    virtual char const* getPluginName() const noexcept = 0;
    virtual char const* getPluginVersion() const noexcept = 0;
    virtual char const* getPluginNamespace() const noexcept = 0;
};

}  // namespace nvinfer1
