"""What scikit-learn asks of an estimator, without loading scikit-learn before it asks."""

from __future__ import annotations

import inspect
from typing import Any, NoReturn, TypeVar

from fijibridge.core.errors import SettingsError

Self = TypeVar("Self", bound="Estimator")


class Estimator:
    """Base class: parameters are those of the constructor, kept under their names as they were given."""

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The constructor's parameters.

        Parameters
        ----------
        deep : bool
            As scikit-learn passes it; no parameter has parameters of its own.

        Returns
        -------
        dict
        """
        names = list(inspect.signature(type(self).__init__).parameters)[1:]
        return {name: getattr(self, name) for name in names}

    def set_params(self: Self, **params: Any) -> Self:
        """Change parameters, which are checked as the constructor checks them; what was trained stays.

        Parameters
        ----------
        **params
            As the constructor's.

        Returns
        -------
        Estimator
            Itself.

        Raises
        ------
        SettingsError
            An unknown name, or a value outside its range; nothing is changed then.
        """
        known = self.get_params()
        if unknown := sorted(set(params) - set(known)):
            raise SettingsError(
                f"{unknown[0]}, which is no parameter of {type(self).__name__}",
                expected=f"some of {', '.join(known)}",
                remedy="check the spelling",
            )
        if params:
            type(self).__init__(self, **{**known, **params})
        return self

    def __sklearn_clone__(self: Self) -> Self:
        """Untrained, with the same parameters: an extractor among them is shared."""
        return type(self)(**self.get_params())

    def __sklearn_tags__(self) -> Any:
        """A classifier of images, not of tables."""
        from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags

        return Tags(
            estimator_type="classifier",
            target_tags=TargetTags(required=True),
            classifier_tags=ClassifierTags(multi_label=False),
            input_tags=InputTags(two_d_array=True, three_d_array=True),
            no_validation=True,
        )


def raise_not_trained(what: str) -> NoReturn:
    """Raise the error of an estimator that was not trained: a SettingsError that is scikit-learn's NotFittedError too.

    Parameters
    ----------
    what : str
        Of which kind it is.

    Raises
    ------
    SettingsError
    """
    from fijibridge.segmentation.not_trained import NotTrainedError

    raise NotTrainedError(f"a {what} that was not trained", expected="a trained one", remedy="call fit, or load one")
