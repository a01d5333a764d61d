//! The proxy on other systems, as far as this machine can run their programs. One behaviour a file.

mod windows_carries_an_echo;
