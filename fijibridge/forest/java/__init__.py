"""The forest in Java: TWS's .model files, .arff, training and prediction by FastRandomForest."""
