"""The dialects providers speak, as pure functions: no network, no clock, no state but a decoder's own."""
