"""`python -m streams.contract` writes the documents of the contract."""

from streams.contract.documents import main

main()
