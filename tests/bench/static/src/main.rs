//! The baseline of `make bench`.

fn main() {
    std::process::exit(anyproxy_static::main(std::env::args_os().skip(1)));
}
