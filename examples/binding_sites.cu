// The same program on a GPU: under nvcc the native backend is CUDA's.
#include "binding_sites.cpp"
