//! The least that a program can do: what starting one costs.

fn main() {
    println!("hello");
}
