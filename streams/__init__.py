"""Everything that touches the outside: Kafka, Faust, disk, HTTP, the command line. It imports `meter`, never back."""
