"""FaIR 2.2 year by year for N climates at once: its own functions, in its order, with a state to restart from.

FaIR runs whole scenarios. Here its functions are called one year at a time on arrays of configurations, so that a state
can be kept, restored and branched; the concentrations and temperatures are those of `fair.FAIR.run`.

C. J. Smith et al., "FAIR v1.3", GMD 11, 2018; N. J. Leach et al., "FaIRv2.0.0", GMD 14, 2021; D. P. Cummins, D. B.
Stephenson and P. A. Stott, J. Climate 33, 2020 (energy balance with stochastic forcing).
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float

from foreworld.errors import MissingExtraError

SPECIES = ("CO2", "CH4", "N2O", "Sulfur")
CARBON, METHANE, NITROUS, SULFUR = np.eye(4, dtype=bool)
NONE = np.zeros(4, dtype=bool)
FORCERS = ("Aerosol-radiation interactions", "Aerosol-cloud interactions", "Ozone", "Stratospheric water vapour")
# N2O is not an action: its concentration (ppb) follows the observed one and then one between SSP2 and SSP3.
N2O_PATH = ((1750, 1850, 1900, 1950, 1980, 2000, 2019, 2100, 2200), (270.1, 273, 279, 289, 301, 316, 332, 390, 420))
DOUBLING = 3.93  # W/m2, effective forcing of twice the CO2 (IPCC AR6, 7.3.2.1)
IIRF_MAX = 100.0  # FaIR's default
ZETTAJOULES = 4 * np.pi * 6371000**2 * 365.24219 * 86400 / 1e21  # of one W/m2 for a year


@dataclass(frozen=True)
class Climates:
    """What differs between N climates; the other constants are FaIR's defaults for AR6.

    Attributes:
        sensitivity: equilibrium warming for a doubling of CO2 (K), which decides how heat is lost to space.
        transfer: exchange of heat between the three layers (W/m2/K).
        capacity: heat capacities of three layers (W yr/m2/K).
        efficacy: of the deep ocean's heat uptake.
        gases: factors on the forcing of CO2, CH4 and N2O.
        ozone: factor on the forcing of ozone.
        aerosol: factor on both forcings of aerosols, direct and through clouds.
        uptake: factors on the three terms by which CO2 lives on: in 1750, with carbon taken up, with warming.
    """

    sensitivity: Float[np.ndarray, " climate"]
    transfer: Float[np.ndarray, "climate 2"]
    capacity: Float[np.ndarray, "climate 3"]
    efficacy: Float[np.ndarray, " climate"]
    gases: Float[np.ndarray, "climate 3"]
    ozone: Float[np.ndarray, " climate"]
    aerosol: Float[np.ndarray, " climate"]
    uptake: Float[np.ndarray, "climate 3"]

    def take(self, places: np.ndarray) -> "Climates":
        """Some of them, in this order."""
        return Climates(**{name: values[places] for name, values in vars(self).items()})


@dataclass(frozen=True)
class Response:
    """How each climate's layers move on in a year, from FaIR's energy balance model.

    Attributes:
        matrix, forcing: next state = matrix @ state + forcing * radiative forcing + noise.
        noise: a factor of the covariance of the yearly noise.
        feedback, exchange: heat lost to space and passed to the deep ocean (W/m2/K).
    """

    matrix: Float[np.ndarray, "climate 4 4"]
    forcing: Float[np.ndarray, "climate 4"]
    noise: Float[np.ndarray, "climate 4 4"]
    feedback: Float[np.ndarray, " climate"]
    exchange: Float[np.ndarray, " climate"]

    def take(self, places: np.ndarray) -> "Response":
        """Some of them, in this order."""
        return Response(**{name: values[places] for name, values in vars(self).items()})


@dataclass(frozen=True)
class State:
    """N climates at the end of a year.

    Attributes:
        boxes: CO2 (GtCO2) and CH4 (Mt) above that of 1750, by how long it lives.
        emitted: of both since 1750.
        layers: stochastic part of the forcing (W/m2), then warming of three layers since 1750 (K); the first is what
            people live in.
        heat: taken up by the ocean since 1750 (ZJ).
        concentration: of CO2 (ppm) and CH4 (ppb).
    """

    boxes: Float[np.ndarray, "climate 2 4"]
    emitted: Float[np.ndarray, "climate 2"]
    layers: Float[np.ndarray, "climate 4"]
    heat: Float[np.ndarray, " climate"]
    concentration: Float[np.ndarray, "climate 2"]

    @property
    def warming(self) -> Float[np.ndarray, " climate"]:
        """Of the surface since 1750 (K)."""
        return self.layers[:, 1]


@cache
def constants() -> dict[str, np.ndarray]:
    """FaIR's default constants, by their names in FaIR: [species] or [species, box] for SPECIES, then FORCERS.

    Raises:
        MissingExtraError: FaIR is not installed.
    """
    try:
        from fair import FAIR
        from fair.io import read_properties
    except ImportError:
        raise MissingExtraError("simulating the climate", "emissions") from None

    model = FAIR()
    model.define_time(1750, 1751, 1)
    model.define_scenarios(["any"])
    model.define_configs(["default"])
    species, properties = read_properties(species=[*SPECIES, *FORCERS])
    properties["CO2"]["input_mode"] = "emissions"
    properties["N2O"]["input_mode"] = "concentration"
    model.define_species(species, properties)
    model.allocate()
    model.fill_species_configs()
    configs = model.species_configs.isel(config=0)
    return {str(name): values.to_numpy() for name, values in configs.items()}


def respond(climates: Climates, *, eta: float, xi: float, gamma: float) -> Response:
    """The energy balance of each climate, solved for steps of a year.

    Args:
        climates: their layers.
        eta, xi, gamma: size of the noise on forcing and on surface heat (W/m2), and how fast the former is forgotten
            (1/yr), as `sigma_eta`, `sigma_xi` and `gamma_autocorrelation` of FaIR.
    """
    from fair.energy_balance_model import EnergyBalanceModel
    from scipy.linalg import expm

    parts = []
    feedback = DOUBLING / climates.sensitivity
    for index, capacity in enumerate(climates.capacity):
        model = EnergyBalanceModel(
            ocean_heat_capacity=capacity,
            ocean_heat_transfer=[feedback[index], *climates.transfer[index]],
            deep_ocean_efficacy=climates.efficacy[index],
            gamma_autocorrelation=gamma,  # pyright: ignore[reportArgumentType] its default is a whole number
        )
        # Covariance of the noise of a year by Van Loan (1978), as FaIR has it where it draws the noise.
        rates = model._eb_matrix()
        diffusion = np.diag([eta**2, (xi / capacity[0]) ** 2, 0, 0])
        both = expm(np.block([[-rates, diffusion], [np.zeros((4, 4)), rates.T]]))
        covariance = both[4:, 4:].T @ both[:4, 4:]
        variances, axes = np.linalg.eigh((covariance + covariance.T) / 2)
        parts.append((model.eb_matrix_d, model.forcing_vector_d, axes * np.sqrt(np.maximum(variances, 0))))
    matrix, forcing, noise = (np.stack(part) for part in zip(*parts, strict=True))
    return Response(matrix, forcing, noise, feedback, climates.transfer[:, 1] * (1 - climates.efficacy))


def preindustrial(count: int) -> State:
    """So many climates in 1750."""
    start = np.repeat(constants()["baseline_concentration"][None, :2], count, axis=0)
    return State(np.zeros((count, 2, 4)), np.zeros((count, 2)), np.zeros((count, 4)), np.zeros(count), start)


def advance(
    state: State,
    climates: Climates,
    response: Response,
    emissions: Float[np.ndarray, "climate 3"],
    year: np.ndarray,
    normal: Float[np.ndarray, "climate 4"],
) -> State:
    """One year of `fair.FAIR.run`, with its default methods (`meinshausen2020`, `leach2021`).

    Args:
        state: at the beginning of the year.
        climates, response: their constants.
        emissions: CO2 (GtCO2/yr), CH4 (Mt/yr) and SO2 (Mt/yr).
        year: of each climate, which decides the concentration of N2O.
        normal: standard normal numbers behind the noise.
    """
    from fair.energy_balance_model import step_temperature
    from fair.gas_cycle import calculate_alpha
    from fair.gas_cycle.forward import step_concentration

    c = {name: values[:2] for name, values in constants().items() if values.ndim}
    # Only the lifetime of CO2 differs between climates: in 1750, with carbon taken up or aloft, with warming.
    life = np.stack([climates.uptake, np.ones_like(climates.uptake)], axis=1)
    alpha = calculate_alpha(
        state.boxes.sum(axis=-1),
        state.emitted,
        c["g0"],
        c["g1"],
        c["iirf_0"] * life[..., 0],
        c["iirf_airborne"] * life[..., 1],
        c["iirf_temperature"] * life[..., 2],
        c["iirf_uptake"] * life[..., 1],
        state.warming[:, None],
        IIRF_MAX,
    )
    gases = emissions[:, :2]
    concentration, boxes, _ = step_concentration(
        gases[None, None, :, :, None],
        state.boxes[None, None],
        None,
        alpha[None, None, :, :, None],
        c["baseline_concentration"],
        c["baseline_emissions"][:, None],
        c["concentration_per_emission"],
        c["unperturbed_lifetime"],
        c["partition_fraction"],
        1.0,
    )
    forcing = radiative_forcing(concentration[0, 0], emissions[:, 2], year, state.warming, climates)
    pushed = np.einsum("cij,cj->ci", response.noise, normal)
    layers = step_temperature(
        state.layers[None, None],
        response.matrix[None, None],
        response.forcing[None, None],
        pushed[None, None],
        forcing[None, None, :, None],
    )[0]
    kept = forcing - response.feedback * layers[:, 1] + response.exchange * (layers[:, 2] - layers[:, 3])
    return State(boxes[0, 0], state.emitted + gases, layers, state.heat + kept * ZETTAJOULES, concentration[0, 0])


def radiative_forcing(
    gases: Float[np.ndarray, "climate 2"],
    sulphur: Float[np.ndarray, " climate"],
    year: np.ndarray,
    warming: Float[np.ndarray, " climate"],
    climates: Climates,
) -> Float[np.ndarray, " climate"]:
    """Effective radiative forcing since 1750 (W/m2) of CO2, CH4, N2O, aerosols, ozone and water vapour from CH4."""
    from fair.forcing.ghg import meinshausen2020
    from fair.forcing.minor import calculate_linear_forcing

    c = {name: values[: len(SPECIES)] for name, values in constants().items() if values.ndim}
    concentration, emissions = np.full((1, 1, len(gases), 4), np.nan), np.zeros((1, 1, len(gases), 4))
    concentration[0, 0, :, :2], concentration[0, 0, :, 2] = gases, np.interp(year + 1, *N2O_PATH)
    emissions[0, 0, :, 3] = sulphur
    # FaIR's functions want arrays of every species, with NaN where there is no concentration.
    base = {name: c[f"baseline_{name}"] + np.zeros_like(emissions) for name in ("concentration", "emissions")}
    factor = np.ones_like(emissions)
    factor[0, 0, :, :3] = climates.gases
    factor *= c["forcing_scale"] * (1 + c["tropospheric_adjustment"])
    reference = c["forcing_reference_concentration"] + np.zeros_like(emissions)
    efficiency, kinds = c["greenhouse_gas_radiative_efficiency"], (CARBON, METHANE, NITROUS, NONE)
    now, then = (
        meinshausen2020(values, reference, factor, efficiency, *kinds)
        for values in (concentration, base["concentration"])
    )
    short = short_lived(emissions, concentration, base["emissions"], base["concentration"], climates)
    water = calculate_linear_forcing(concentration, base["concentration"], 1.0, c["h2o_stratospheric_factor"])
    feedback = constants()["forcing_temperature_feedback"][len(SPECIES) + FORCERS.index("Ozone")]
    return np.nansum(now - then, axis=-1)[0, 0] + (short + water)[0, 0, :, 0] + feedback * warming


def short_lived(
    emissions: Float[np.ndarray, "1 1 climate 4"],
    concentration: Float[np.ndarray, "1 1 climate 4"],
    base_emissions: Float[np.ndarray, "1 1 climate 4"],
    base_concentration: Float[np.ndarray, "1 1 climate 4"],
    climates: Climates,
) -> Float[np.ndarray, "1 1 climate 1"]:
    """Forcing (W/m2) of aerosols, directly and through clouds, and of ozone, from emissions and concentrations."""
    from fair.forcing.aerosol.erfaci import logsum
    from fair.forcing.aerosol.erfari import calculate_erfari_forcing
    from fair.forcing.ozone import thornhill2021

    c = constants()
    amounts = emissions, concentration, base_emissions, base_concentration
    aerosol, ozone = climates.aerosol[None, None, :, None], climates.ozone[None, None, :, None]
    direct, cloud, efficiency = (
        c[name][: len(SPECIES)] for name in ("erfari_radiative_efficiency", "aci_shape", "ozone_radiative_efficiency")
    )
    drivers = SULFUR, METHANE | NITROUS
    return (
        calculate_erfari_forcing(*amounts, aerosol, direct, *drivers)
        + logsum(*amounts, aerosol, c["aci_scale"], cloud, *drivers)
        + thornhill2021(*amounts, ozone, efficiency + np.zeros_like(emissions), *drivers)
    )
