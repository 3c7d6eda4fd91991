"""Privacy: what a model and its updates give away, and what holds it back.

``helpers.privacy.reconstruction`` rebuilds training inputs from one client's update.
``helpers.privacy.membership`` tells training examples from others, with and without shadow models.
``helpers.privacy.inversion`` draws what a class looks like to a model, and judges the drawing.
``helpers.privacy.sweep`` puts utility and both leaks of a deployment on one figure.
``helpers.privacy.dp_sgd`` trains with differential privacy, example by example.
``helpers.privacy.dp_fedavg`` aggregates client updates with differential privacy, user by user.
``helpers.privacy.accounting`` says what a run spends; ``helpers.privacy.ledger`` keeps a budget.
``helpers.privacy.rounds`` accounts for the rounds of a federated run and ends it in time.
``helpers.privacy.data_site`` answers questions about data that stays where it is.
``helpers.privacy.auditing`` measures whether an implementation keeps its promise.
"""
