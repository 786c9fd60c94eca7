/// The CPU's runs against the reference, with nvcc's host code: nvcc has got some of it wrong
/// without a warning, in ways that comparing a GPU with a CPU under one compiler does not show.
#include "trainer.cpp"
