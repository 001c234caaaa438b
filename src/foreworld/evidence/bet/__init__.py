"""The bet: does predicting abstract states generalise better, and hallucinate less, than predicting what is seen?

One switch (`objective=` of `WorldModel.fit`), one table. The contenders are in `contenders`, each question in a file
of its own, and `run` asks them all, cell by cell. Nothing here is tuned on a test episode.
"""
