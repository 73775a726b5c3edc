"""Who answers: provider rows, the wires they speak, and the one way out to the network."""
