//! The program.

fn main() {
    std::process::exit(anyproxy_host::cli::main(std::env::args_os().skip(1)));
}
