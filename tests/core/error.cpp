#include <stdexcept>

#include <gtest/gtest.h>

#include <qlora/core/error.hpp>

#include "support/errors.hpp"

namespace {
using namespace qlora;
using qlora::testing::message_of;

TEST(At, NamesTheFileAndTheLine) {
  EXPECT_EQ(at("f.txt", "wrong"), "f.txt: wrong");
  EXPECT_EQ(at("f.txt", "wrong", 3), "f.txt:3: wrong");
}

TEST(Located, PutsThePlaceBeforeErrorsOfItsType) {
  EXPECT_EQ(located<InputError>("f.txt", [] { return 7; }), 7);
  EXPECT_EQ(message_of<InputError>(
                [] { located<InputError>("f.txt", [] { throw ShapeError{"wrong"}; }); }),
            "f.txt: wrong");
  EXPECT_EQ(message_of<Error>(
                [] { located<InputError>("f.txt", [] { throw DivergedError{"elsewhere"}; }); }),
            "elsewhere");
}

}  // namespace
