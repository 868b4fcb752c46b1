// A call that must be refused, with a message that tells why.
#pragma once

#include <gtest/gtest.h>

#include <exception>
#include <initializer_list>
#include <string>

namespace support {

/// Runs `action`, which must throw Error with a message that holds each of `words`.
template <class Error, class Action>
void expect_error(Action&& action, std::initializer_list<const char*> words) {
  try {
    action();
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    const std::string message = error.what();
    for (const char* word : words) EXPECT_NE(message.find(word), std::string::npos) << message << "\n  lacks " << word;
  } catch (const std::exception& error) {
    ADD_FAILURE() << "another error: " << error.what();
  }
}

}  // namespace support
